// SPDX-License-Identifier: Apache-2.0
#pragma once

// The layout of an entry is what differs between the versions of the program:
// RESPKV_ENTRY_HEADER is "entry_v1.h", "entry_v2.h" or "entry_v3.h".
#include RESPKV_ENTRY_HEADER
