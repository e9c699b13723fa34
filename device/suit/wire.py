"""The integers of the riot profile (draft-ietf-suit-manifest-09, suit.md section 4)."""

from __future__ import annotations

from typing import Final

# Manifest
VERSION: Final = 1
SEQUENCE_NUMBER: Final = 2
COMMON: Final = 3
INSTALL: Final = 9
VALIDATE: Final = 10

# Common
COMPONENTS: Final = 2
COMMON_SEQUENCE: Final = 4

# Conditions; the argument is a reporting policy
VENDOR_MATCH: Final = 1
CLASS_MATCH: Final = 2
IMAGE_MATCH: Final = 3
COMPONENT_OFFSET_MATCH: Final = 5
CONDITIONS: Final = frozenset({VENDOR_MATCH, CLASS_MATCH, IMAGE_MATCH, COMPONENT_OFFSET_MATCH})

# Directives
SET_COMPONENT_INDEX: Final = 12
SET_PARAMETERS: Final = 19
OVERRIDE_PARAMETERS: Final = 20
FETCH: Final = 21
COMMANDS: Final = CONDITIONS | {SET_COMPONENT_INDEX, SET_PARAMETERS, OVERRIDE_PARAMETERS, FETCH}

# Parameters
VENDOR_ID: Final = 1
CLASS_ID: Final = 2
IMAGE_DIGEST: Final = 3
COMPONENT_OFFSET: Final = 5
IMAGE_SIZE: Final = 14
URI: Final = 21
