"""Looks at everything, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from perdured import disks
from perdured.client import Client
from perdured.core.doctor import containers, file_systems, machine, saves, slurm, sources, systemd
from perdured.core.doctor.finding import Finding
from perdured.core.doctor.saves import SaveSeen
from perdured.core.doctor.sources import SourceSeen
from perdured.errors import NoDaemon
from perdured.state.submission import Submission
from perdured.wire import Health, Job

from . import storage, surroundings
from .hearing import Heard, ask_daemon, try_sources
from .machine import observe_clock, observe_memory, observe_shared_memory, try_cgroup
from .subjects import Checkpoints, Subject, list_subjects, measure_saves, observe_checkpoints


class Asked(NamedTuple):
    socket: Path
    state_dir: Path
    environment: Mapping[str, str]
    submission: Submission | None = None
    """The spec that was named."""


class Around(NamedTuple):
    """What this machine is part of; None where it is not."""

    slurm: slurm.SlurmSeen | None
    systemd: systemd.SystemdSeen | None
    container: containers.ContainerSeen | None
    heard: Heard


class Report(NamedTuple):
    findings: tuple[Finding, ...]
    sources: tuple[SourceSeen, ...]
    save: SaveSeen | None
    """The one that takes longest."""


def examine(asked: Asked) -> Report:
    health, jobs, told = _ask_daemon(asked.socket)
    subjects = [(subject, _look_into(subject)) for subject in list_subjects(jobs, asked.submission)]
    save = saves.find_largest(measure_saves(subjects))
    tried = told if told is not None else try_sources(asked.environment, asked.state_dir)
    around = _look_around(asked.environment, health, tried)
    heard = _list_sources(around)
    findings = [
        *sources.judge_sources(heard),
        saves.judge_save(save, heard),
        *_judge_around(around, save, has_daemon=health is not None),
        *_judge_storage(asked.state_dir, subjects),
        *_judge_machine(subjects),
        machine.judge_daemon(
            str(asked.socket), health["version"] if health else None, is_needed=asked.submission is None
        ),
    ]
    return Report(tuple(findings), tuple(heard), save)


def _ask_daemon(socket: Path) -> tuple[Health | None, list[Job], Heard | None]:
    client = Client(socket)
    try:
        return client.health(), client.list_jobs(), ask_daemon(client)
    except NoDaemon:
        return None, [], None


def _look_into(subject: Subject) -> Checkpoints:
    return storage.with_patience(lambda: observe_checkpoints(subject.directory), Checkpoints())


def _look_around(environment: Mapping[str, str], health: Health | None, heard: Heard) -> Around:
    return Around(
        surroundings.observe_slurm(environment),
        surroundings.observe_systemd(health["pid"] if health is not None else None),
        surroundings.observe_container(environment),
        heard,
    )


def _list_sources(around: Around) -> list[SourceSeen]:
    """SIGTERM is always heard; what comes after it, the others say."""
    return [
        SourceSeen("signal", "works", why="SIGTERM lets every job save, for as long as its grace is."),
        *sources.make_clouds(around.heard),
        sources.blind(slurm.make_source(around.slurm), around.heard.get("slurm")),
        containers.make_source(around.container),
        sources.blind(systemd.make_source(around.systemd), around.heard.get("systemd")),
    ]


def _judge_around(around: Around, save: SaveSeen | None, *, has_daemon: bool) -> Iterator[Finding]:
    if around.slurm is not None:
        yield from slurm.judge_slurm(around.slurm)
    if around.container is not None:
        yield from containers.judge_container(around.container, save)
    if around.systemd is not None:
        yield from systemd.judge_shutdown(around.systemd, save, has_daemon=has_daemon)


def _judge_storage(state_dir: Path, subjects: Sequence[tuple[Subject, Checkpoints]]) -> Iterator[Finding]:
    yield from _judge_directory("state", state_dir, Checkpoints(), 0)
    for subject, found in subjects:
        more = max(subject.keep + 1 - found.kept, 1)
        yield from _judge_directory(f"checkpoints of {subject.name}", subject.directory, found, more)


def _judge_directory(role: str, directory: Path, found: Checkpoints, more: int) -> Iterator[Finding]:
    place = file_systems.Place(role, str(directory), disks.observe_file_system(directory))
    at = storage.with_patience(lambda: storage.find_existing(directory), None)
    tried = storage.with_patience(lambda: storage.probe(at), storage.SILENT) if at is not None else storage.SILENT
    yield file_systems.judge_place(place, tried)
    if at is not None and tried.error is None:
        yield file_systems.judge_room(place, storage.observe_room(at), found.size, more)


def _judge_machine(subjects: Sequence[tuple[Subject, Checkpoints]]) -> Iterator[Finding]:
    memory = observe_memory()
    if memory is not None:
        for subject, found in subjects:
            if subject.wants_memory_tier and found.size is not None:
                yield machine.judge_memory_tier(subject.name, found.size, memory)
        yield machine.judge_swap(memory)
    yield machine.judge_shared_memory(observe_shared_memory())
    yield machine.judge_cgroup(has_leaf=try_cgroup())
    yield machine.judge_clock(is_synchronised=observe_clock())
