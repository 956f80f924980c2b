"""The manifests that a spec becomes: whole by Kubernetes' own schema, and with the times that a save needs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from perdured.core.export.kubernetes import KubernetesWishes, format_kubernetes, make_name
from perdured.core.export.source import Source
from perdured.core.spec_text import parse_spec

from .engine_schema import find_errors

SPEC = """
name = "gpt"
command = ["python", "train.py"]
[stop]
grace = "90s"
[checkpoint]
dir = "out/checkpoints"
[resources]
gpus = 2
memory = "16GiB"
"""


def export(spec: str = SPEC, file: str = "/home/me/run/gpt.toml", image: str = "my/image:1") -> list[dict[str, Any]]:
    source = Source(parse_spec(spec), file, "/home/me/run")
    return list(yaml.safe_load_all(format_kubernetes(source, KubernetesWishes(image), spec)))


def find_pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    pod: dict[str, Any] = documents[2]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("spec", [SPEC, 'command = ["x"]'], ids=["all", "least"])
@pytest.mark.parametrize("file", ["/home/me/run/gpt.toml", '/a "b": ü\n---/😀 x.toml'], ids=["plain", "wild"])
def test_the_schema_of_kubernetes_has_nothing_against_it(spec: str, file: str) -> None:
    documents = export(spec, file)
    assert [document["kind"] for document in documents] == ["ConfigMap", "PersistentVolumeClaim", "Job"]
    for document in documents:
        assert find_errors(document, "kubernetes", document["kind"]) == []


def test_the_schema_does_find_what_is_wrong() -> None:
    (_, _, job) = export()
    job["spec"]["template"]["spec"]["terminationGracePeriod"] = "120s"
    assert len(find_errors(job, "kubernetes", "Job")) == 1


def test_the_pod_has_the_grace_of_the_job_and_more() -> None:
    pod = find_pod(export())
    assert pod["terminationGracePeriodSeconds"] == 120
    assert pod["containers"][0]["env"] == [{"name": "PERDURE_NOTICES_GRACE", "value": "120s"}], "a pod is not told"


def test_the_first_process_is_perdure_with_the_spec_that_was_given() -> None:
    config, _, _ = documents = export()
    (container,) = find_pod(documents)["containers"]
    assert container["command"] == ["perdure", "run", "/workspace/gpt.toml"]
    spec = container["volumeMounts"][0]
    assert (spec["mountPath"], config["data"][spec["subPath"]]) == ("/workspace/gpt.toml", SPEC)


def test_the_checkpoints_lie_on_the_claim() -> None:
    _, claim, _ = documents = export()
    pod = find_pod(documents)
    mount = next(m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "checkpoints")
    volume = next(v for v in pod["volumes"] if v["name"] == "checkpoints")
    assert mount["mountPath"] == "/workspace/out/checkpoints"
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_a_saved_end_makes_another_pod_and_a_permanent_one_ends_the_job() -> None:
    rules = export()[2]["spec"]["podFailurePolicy"]["rules"]
    codes = {rule["action"]: rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule}
    assert codes == {"FailJob": [78], "Ignore": [75]}


def test_it_asks_for_what_the_spec_asks_for() -> None:
    (container,) = find_pod(export())["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 2, "memory": str(16 << 30)}
    assert "resources" not in find_pod(export('command = ["x"]'))["containers"][0]


@pytest.mark.parametrize(
    ("name", "made"), [("gpt", "gpt"), ("GPT_2 small", "gpt-2-small"), ("-ü-", "job"), ("a" * 99, "a" * 50)]
)
def test_names_are_such_as_kubernetes_takes(name: str, made: str) -> None:
    assert make_name(name) == made
