# A container in which `perdure run` supervises one job:
#
#     docker build -t my-training --build-arg EXTRAS=torch .
#     docker run --stop-timeout 150 -v "$PWD:/data" my-training train.toml
#
# `docker stop` sends SIGTERM: the job saves at its next safe point and the container ends with 75. The stop timeout must
# be longer than the job's grace (120 s unless its spec says otherwise); docker's own is 10 s. Started again with the
# same /data, the job goes on where it was.
#
# As process 1 `perdure run` collects the dead and passes signals on: `--init` is not needed. With `--read-only` all that
# is written goes to /data.
#
# Your own image already has torch? Build on it: --build-arg BASE=pytorch/pytorch:… and no EXTRAS.

ARG BASE=python:3.13-slim

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY daemon daemon
COPY jobs jobs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BASE}
# `torch`, `torch,remote`, or nothing: the job's torch comes from the base, or from here.
ARG EXTRAS=
# The second is for bases whose Python belongs to their distribution; in a container there is nobody to protect it from.
ENV PYTHONUNBUFFERED=1 \
    PIP_BREAK_SYSTEM_PACKAGES=1
COPY constraints.txt /wheels/
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt "$(echo /wheels/perdure-*.whl)${EXTRAS:+[$EXTRAS]}" \
    && groupadd --gid 10001 perdure \
    && useradd --uid 10001 --gid 10001 --create-home perdure \
    && install --directory --owner=10001 --group=10001 /data

# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# No shell in between: a shell as process 1 would keep the signal for itself.
ENTRYPOINT ["perdure", "run"]
CMD ["--help"]
