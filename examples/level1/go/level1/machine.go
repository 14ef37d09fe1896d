// SPDX-License-Identifier: Apache-2.0

package level1

import "runtime"

// System calls have other numbers there.
const isArm64 = runtime.GOARCH == "arm64"
