"""Keep the console's sign-outs, so that each console behind one address knows them."""

from alembic import op

revision = "x9012345678t"
down_revision = "w8901234567s"
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
