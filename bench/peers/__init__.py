# SPDX-License-Identifier: Apache-2.0
"""The servers that the handoff bench upgrades, each in its own way."""
