"""Parameters that several addresses take, each with the values that it accepts."""

from typing import Annotated

from fastapi import Path, Query

from api import cursors

LARGEST_ID = 2**63 - 1
MOST = 1_000  # rows of a page

ProjectId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The project's id.", examples=[42])]
OrganizationId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The organization's id.", examples=[7])]
OfProject = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Of this project only.")]
OfOrganization = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Of this organization only.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description=f"Rows of a page, at most {MOST:,}.")]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=cursors.LONGEST,
        description="`next` of the page before; with the same filters.",
    ),
]
PAGE = 100  # rows of a page where nobody says otherwise
