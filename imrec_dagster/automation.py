"""The automation condition of the assets, and the sensor that evaluates it."""

from typing import Any

import dagster as dg


def on_change() -> dg.AutomationCondition:
    """Request partitions that are new, failed, or whose code or input data versions changed.

    `eager()` fires on every event of an input, changed or not (dagster#25439). A version change lasts one tick, so
    `since` latches it. In `since` the reset wins over the trigger: a change in the tick after a request is therefore
    excluded from the reset, because the requested run may have started too early to see it. Partitions that are missing
    when a feature is added to the lake count as new, which `since_last_handled` would treat as handled. A failure
    counts once; otherwise it would be retried forever.
    """
    condition: Any = dg.AutomationCondition  # `|` and `since` lose its generic type
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
    """Return a sensor that evaluates all conditions; Dagster's default one is stopped at first, this one runs."""
    return dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.all(), default_status=dg.DefaultSensorStatus.RUNNING
    )
