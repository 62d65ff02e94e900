"""What docs/guides/deploy.md gives to copy can be read, and names commands, options and settings that there are."""

from __future__ import annotations

import configparser
import re
import shlex
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml
from dagster._core.instance import InstanceRef

from imrec_dagster.home_files import INSTANCE_CONFIG, WORKSPACE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/deploy.md").read_text("utf-8")
FILES = sorted((ROOT / "docs/deploy").iterdir())
UNITS = [path for path in FILES if path.suffix == ".service"]
PROGRAMS = {"dagster", "dagster-daemon", "dagster-webserver", "dask"}


def parsed(words: list[str]) -> None:
    """Have the command's own parser read it, through its subcommands, without running it."""
    words = [str(ROOT / "docs/deploy/workspace.yaml") if word.endswith("workspace.yaml") else word for word in words]
    name, arguments = Path(words[0]).name, words[1:]
    if name == "dask":
        (found,) = entry_points(group="dask_cli", name=arguments.pop(0))
        command = found.load()
    else:
        (found,) = entry_points(group="console_scripts", name=name)
        command = import_module(found.module).cli
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    command.make_context(name, arguments)


def commands_of(unit: Path) -> list[list[str]]:
    read = configparser.ConfigParser(strict=True, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(unit)
    assert {"Unit", "Service", "Install"} == set(read.sections())
    return [shlex.split(value) for key, value in read["Service"].items() if key.startswith("ExecStart")]


def manifests() -> list[dict]:
    return list(yaml.safe_load_all((ROOT / "docs/deploy/kubernetes.yaml").read_text("utf-8")))


def containers() -> list[dict]:
    pods = [found["spec"]["template"]["spec"] for found in manifests() if "template" in found.get("spec", {})]
    return [container for pod in pods for kind in ("initContainers", "containers") for container in pod.get(kind, [])]


def test_every_file_is_named_on_the_page_and_the_readme_leads_to_it():
    assert [path.name for path in FILES if path.name not in PAGE] == []
    assert "(docs/guides/deploy.md)" in (ROOT / "README.md").read_text("utf-8")


def test_instance_config_loads_and_has_the_limits_and_retries_of_a_new_instance(monkeypatch):
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql+psycopg2://dagster:secret@db:5432/dagster")
    reference = InstanceRef.from_dir(str(ROOT / "docs/deploy"))
    assert reference.storage_data.class_name == "DagsterPostgresStorage"
    config = yaml.safe_load((ROOT / "docs/deploy/dagster.yaml").read_text("utf-8"))
    usual = yaml.safe_load(INSTANCE_CONFIG)
    assert {name: config[name] for name in usual if name != "run_monitoring"} == {
        name: value for name, value in usual.items() if name != "run_monitoring"
    }
    assert usual["run_monitoring"].items() <= config["run_monitoring"].items()


def test_workspace_is_the_one_of_a_new_instance():
    assert (ROOT / "docs/deploy/workspace.yaml").read_text("utf-8") == WORKSPACE


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_there_are(unit):
    for command in commands_of(unit):
        assert Path(command[0]).name in PROGRAMS
        parsed(command)


def test_an_option_that_is_none_is_found():
    with pytest.raises(click.UsageError):
        parsed(["dask", "worker", "tcp://10.0.0.1:8786", "--cores", "2"])


def test_commands_of_containers_are_there():
    commands = [container["command"] for container in containers()]
    assert {command[0] for command in commands} == PROGRAMS
    for command in commands:
        parsed([argument.replace("$(IMREC_CORES)", "8") for argument in command])


def test_instance_config_of_the_cluster_is_the_one_beside_it():
    (config,) = (found["data"]["dagster.yaml"] for found in manifests() if found["kind"] == "ConfigMap")
    beside = (ROOT / "docs/deploy/dagster.yaml").read_text("utf-8")
    assert yaml.safe_load(config) == yaml.safe_load(beside)


def yaml_blocks() -> list[dict]:
    return [found for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for found in yaml.safe_load_all(text)]


def test_run_launcher_of_the_page_fits_the_manifest():
    (launcher,) = (found["run_launcher"] for found in yaml_blocks() if "run_launcher" in found)
    config = launcher["config"]
    (daemon,) = (container for container in containers() if container["name"] == "daemon")
    environment = {variable["name"]: variable.get("value") for variable in daemon["env"]}
    assert set(config["env_vars"]) == environment.keys() - {"DAGSTER_HOME"}
    assert (config["dagster_home"], config["job_image"]) == (environment["DAGSTER_HOME"], daemon["image"])
    maps = [found["metadata"]["name"] for found in manifests() if found["kind"] == "ConfigMap"]
    assert [config["instance_config_map"]] == maps
    assert config["service_account_name"] == "imrec-dagster"
    if find_spec("dagster_k8s"):
        from dagster._config import validate_config
        from dagster_k8s.job import DagsterK8sJobConfig

        assert validate_config(DagsterK8sJobConfig.config_type_run_launcher(), config).success


def test_rights_of_the_page_are_bound_to_the_account_of_its_run_launcher():
    found = {one["kind"]: one for one in yaml_blocks() if "kind" in one}
    assert found.keys() == {"ServiceAccount", "Role", "RoleBinding"}
    assert {one["metadata"]["name"] for one in found.values()} == {"imrec-dagster"}
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    assert found["RoleBinding"]["subjects"][0]["name"] == found["ServiceAccount"]["metadata"]["name"]


def test_what_pods_mount_and_select_is_defined():
    found = manifests()
    names = {(one["kind"], one["metadata"]["name"]) for one in found}
    templates = [one["spec"]["template"] for one in found if "template" in one.get("spec", {})]
    labels = {template["metadata"]["labels"]["app"] for template in templates}
    for one in found:
        if one["kind"] == "Service":
            assert one["spec"]["selector"]["app"] in labels
    for template in templates:
        volumes = template["spec"].get("volumes", [])
        for volume in volumes:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            elif "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
        for container in template["spec"]["containers"]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= {volume["name"] for volume in volumes}


def test_settings_of_the_environment_are_read_somewhere():
    code = "".join(
        path.read_text("utf-8")
        for package in ("imrec_core", "imrec_dagster")
        for path in (ROOT / package).rglob("*.py")
    )
    named = set(re.findall(r"\bIMREC_[A-Z]+", PAGE + "".join(path.read_text("utf-8") for path in FILES)))
    assert named == {"IMREC_LAKE", "IMREC_DASK", "IMREC_CORES"}
    assert {name for name in named if name not in code} == set()
