"""Files that imrec writes into the folder of a Dagster instance: `dagster.yaml` and `workspace.yaml`."""

from pathlib import Path

CODE_LOCATION = "imrec"
"""Name of the code location. Dagster keeps the state of sensors and schedules, and queued runs, under this name."""

# nux: a dialog that offers a newsletter. Runs that were killed are retried, runs that failed are not.
# The extraction has the pool `decode`. Each run of it uses all cores, so that a second one would only take memory; a
# scan or a generation need not wait for it. With the granularity `run` a run that waits is no process yet, and a killed
# run leaves no slot behind.
INSTANCE_CONFIG = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
concurrency:
  runs: {max_concurrent_runs: 2}
  pools: {default_limit: 1, granularity: run}
"""

_FORMER_CONFIGS = (
    """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
""",
    "telemetry:\n  enabled: false\nnux:\n  enabled: false\n",
)
"""What earlier versions wrote. A file with other text was edited by a user, and stays."""

WORKSPACE = f"""\
# The code location of imrec, for dagster dev, dagster-webserver and dagster-daemon run: -w workspace.yaml
load_from:
  - python_module:
      module_name: imrec_dagster.definitions
      location_name: {CODE_LOCATION} # with another name, sensors and schedules start without their state
"""


def write_home_files(home: Path) -> None:
    """Create the folder of an instance, and write the files that are missing or that an earlier version wrote."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists() or config.read_text() in _FORMER_CONFIGS:
        config.write_text(INSTANCE_CONFIG)
    workspace = workspace_path(home)
    if not workspace.exists():
        workspace.write_text(WORKSPACE)


def workspace_path(home: Path) -> Path:
    """Return the path of the file that names the code location."""
    return home / "workspace.yaml"
