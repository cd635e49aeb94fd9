# The image of every pod: the trainer and its pinned dependencies, without build or test tools.
#
#   docker build --target cpu --tag resnet-launch:cpu .       likewise tpu and gpu
#
# It runs as any user but root, on a read-only root file system, and writes to /tmp only.
# BASE may be any image with Python 3.13 as /usr/local/bin/python and certificates in /etc/ssl/certs. A tag can be
# moved to another image: for a build that others can repeat, name one by digest,
# --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

# ---- dependencies: one layer, rebuilt only when the pins change ----
# The pins stay in the image as a list of its contents. Set another package index with PIP_INDEX_URL and
# UV_DEFAULT_INDEX, or mount a pip.conf and uv.toml.
FROM ${BASE} AS cpu-packages
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
COPY pyproject.toml constraints.txt tools/image-packages.sh tools/requirements.py /opt/venv/
RUN --mount=type=cache,target=/var/cache/uv sh /opt/venv/image-packages.sh train

FROM cpu-packages AS tpu-packages
RUN --mount=type=cache,target=/var/cache/uv sh /opt/venv/image-packages.sh tpu

FROM cpu-packages AS gpu-packages
RUN --mount=type=cache,target=/var/cache/uv sh /opt/venv/image-packages.sh gpu

# ---- the trainer ----
FROM ${BASE} AS code
COPY trainer/ /opt/app/trainer/
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/app

# ---- the images; the code comes last, so that a change rebuilds one small layer ----
FROM gpu-packages AS gpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resnet-launch trainer (gpu)" \
      org.opencontainers.image.description="Multi-host JAX ResNet training, one process per pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /opt/app
USER 65532:65532
CMD ["python", "-m", "trainer", "--help"]
COPY --from=code /opt/app /opt/app

FROM tpu-packages AS tpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resnet-launch trainer (tpu)" \
      org.opencontainers.image.description="Multi-host JAX ResNet training, one process per pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /opt/app
USER 65532:65532
CMD ["python", "-m", "trainer", "--help"]
COPY --from=code /opt/app /opt/app

FROM cpu-packages AS cpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resnet-launch trainer (cpu)" \
      org.opencontainers.image.description="Multi-host JAX ResNet training, one process per pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /opt/app
USER 65532:65532
CMD ["python", "-m", "trainer", "--help"]
COPY --from=code /opt/app /opt/app
