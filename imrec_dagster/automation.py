"""When assets are materialized by themselves: the condition, and the sensor that evaluates it."""

from typing import Any

import dagster as dg


def on_change() -> dg.AutomationCondition:
    """Run a partition that is new, whose inputs have another data version, whose code changed, or that failed.

    `eager()` fires on every event of an input, changed or not (dagster#25439). The version change is an edge and
    so must be latched; in `since` the reset wins over the trigger, so a change in the tick after a request, which
    the run may have come too early to see, is kept from being reset. What is missing when a feature is chosen for the
    lake is new too: `since_last_handled` would take it for handled. A failure counts once, or it would be retried for
    ever.
    """
    condition: Any = dg.AutomationCondition  # its generic type does not survive `|` and `since`
    changed = condition.any_deps_updated().replace("newly_updated", condition.data_version_changed())
    return (
        ~condition.in_progress()
        & ~condition.any_deps_in_progress()
        & ~condition.any_deps_missing()
        & (
            changed.since((condition.newly_requested() & ~changed) | condition.initial_evaluation())
            | condition.newly_missing().since(condition.newly_requested() | condition.newly_updated())
            | condition.code_version_changed().since_last_handled()
            | condition.execution_failed().newly_true()
        )
    ).with_label("on_change")


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Dagster's own default one is stopped; this one runs."""
    return dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.all(), default_status=dg.DefaultSensorStatus.RUNNING
    )
