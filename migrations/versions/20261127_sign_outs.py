"""Keep the console's sign-outs, so that each console behind one address knows them."""

from alembic import op

revision = "so27112026a1"
down_revision = "x9012345678t"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE sign_outs (
            mark TEXT NOT NULL,
            at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT sign_outs_pkey PRIMARY KEY (mark)
        );
        SELECT fleetmeter_protect('sign_outs')""")


def downgrade() -> None:
    op.execute("DROP TABLE sign_outs")
