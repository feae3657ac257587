"""The one error tree. Its message is what the user reads: what happened, to what, what to do.

FleetmeterError
    the environment    SettingsError, DatabaseUnavailable, DatabaseRefused, SchemaError, LockTimeout,
                       ClockWrong, SourceUnavailable, DeliveryFailed
    things asked for   UnknownProject, ProjectInactive, UnknownOrganization, UnknownCounter, UnknownGap,
                       UnknownAlert, PeriodError
    money              PlanError, MonthClosed, AdjustmentRefused, BudgetRefused
    who asks           NotSignedIn, AccessRefused, ScopeNotEnforced, UnknownToken, TokenRefused,
                       NeedsApproval, ApprovalRefused
    operations         PauseRefused, MoveFailed, RestoreRefused
"""


class FleetmeterError(Exception):
    """Something the user can act on. Shown as its sentence, never as a traceback."""


class SettingsError(FleetmeterError):
    """A setting is missing or wrong; names the variable and what it takes."""


class DatabaseUnavailable(FleetmeterError):
    """PostgreSQL cannot be reached; names host and database, never the password."""


class DatabaseRefused(FleetmeterError):
    """The database cannot be used as it is: its encoding, its pooler or a session setting; names which."""


class LockTimeout(FleetmeterError):
    """Another process held a lock for too long; names the lock."""


class SchemaError(FleetmeterError):
    """The database is not at the head of the migrations, or holds foreign tables of our names."""


class PeriodError(FleetmeterError):
    """A date, month or instant that is malformed, in the future, or not over yet."""


class ClockWrong(FleetmeterError):
    """The host's clock and the database's differ by more than FLEETMETER_CLOCK_TOLERANCE."""


class UnknownProject(FleetmeterError):
    """A project id that the platform does not have."""


class ProjectInactive(FleetmeterError):
    """The project is off: what was counted for it is kept as unattributed, and not billed."""


class PlanError(FleetmeterError):
    """The plans file is wrong, or names no tier for an organization."""


class MonthClosed(FleetmeterError):
    """The month is closed: adjust instead."""


class AdjustmentRefused(FleetmeterError):
    """A correction that corrects nothing, names no counter, or was already reversed."""


class UnknownCounter(FleetmeterError):
    """A counter's client id that does not exist, or a counter that cannot be retired or moved."""


class MoveFailed(FleetmeterError):
    """A counter's session could not be moved to another client id; it is as it was."""


class UnknownGap(FleetmeterError):
    """A gap id that does not exist, or a gap that needs no acceptance any more."""


class PauseRefused(FleetmeterError):
    """A pause without a reason or an end, too long, of no job; or an end of a pause that there is not."""


class NeedsApproval(FleetmeterError):
    """The action takes a second person, who approves it in the console."""


class ApprovalRefused(FleetmeterError):
    """An approval that does not exist, is already decided, or was asked for by the same person."""


class UnknownAlert(FleetmeterError):
    """An alert id that does not exist."""


class BudgetRefused(FleetmeterError):
    """A budget or a threshold that says nothing, of nobody, or in another currency than the bill's."""


class DeliveryFailed(FleetmeterError):
    """A channel did not take a message; it is sent again later."""


class SourceUnavailable(FleetmeterError):
    """A source could not be read; what it would have measured stays unknown. `passing`: it may later."""

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class NotSignedIn(FleetmeterError):
    """Nobody is signed in, or the sign-in has ended."""


class AccessRefused(FleetmeterError):
    """Who is signed in may not do this, or has no role at all; names whom to ask."""


class RestoreRefused(FleetmeterError):
    """An archive that does not verify, or that is not what the database holds."""


class ScopeNotEnforced(FleetmeterError):
    """The database role is exempt from row-level security, so that organizations are not kept apart."""


class TokenRefused(FleetmeterError):
    """A token of the HTTP API that cannot be created as asked."""


class UnknownToken(FleetmeterError):
    """A token id that does not exist."""


class UnknownOrganization(FleetmeterError):
    """An organization that the platform does not have, or that the caller may not see."""
