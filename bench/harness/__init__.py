# SPDX-License-Identifier: Apache-2.0
"""What the handoff bench is made of: servers, the load generator, measuring, reporting."""
