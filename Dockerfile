# The image of every pod: the trainer, its pinned dependencies, and nothing that builds or tests them.
#
#   docker build --target cpu --tag resnet-launch:cpu .       likewise tpu and gpu
#
# It runs as any user but root, on a read-only root file system, and writes to /tmp only.
# BASE is any image with Python 3.13 as /usr/local/bin/python and certificates in /etc/ssl/certs.
ARG BASE=python:3.13-slim

# ---- what installs: lent to the stages below, part of no image ----
FROM ${BASE} AS tools
# Another package index, if any: PIP_INDEX_URL and UV_DEFAULT_INDEX, or a mounted pip.conf and uv.toml.
ARG PIP_INDEX_URL
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
COPY constraints.txt /
# pip checks hashes of requirements only, not of constraints: the entry of uv, to its last hash, becomes one.
RUN python -m venv /opt/uv \
 && sed -n '/^uv==/,/[^\\]$/p' constraints.txt > /uv.txt \
 && /opt/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --requirement /uv.txt

# ---- dependencies: one layer, made again only for other pins ----
# The pins stay in the image: they say what is in it. The Kubernetes client (75 MB) is the launcher's; tests and
# headers are of no use in a pod. Bytecode is compiled here, because a pod cannot write it, and counts whatever
# becomes of the files' times.
FROM ${BASE} AS cpu-packages
ARG UV_DEFAULT_INDEX
COPY pyproject.toml constraints.txt /opt/venv/
RUN --mount=type=bind,from=tools,source=/opt/uv,target=/opt/uv \
    --mount=type=cache,target=/root/.cache/uv \
    cd /opt/venv && python -m venv --without-pip . \
 && export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
 && /opt/uv/bin/uv pip install --quiet --constraint constraints.txt --requirement pyproject.toml --extra train \
 && /opt/uv/bin/uv pip uninstall --quiet kubernetes \
 && find lib -type d -name tests -prune -exec rm -rf {} + \
 && find lib -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.a' \) -delete \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash lib

FROM cpu-packages AS tpu-packages
RUN --mount=type=bind,from=tools,source=/opt/uv,target=/opt/uv \
    --mount=type=cache,target=/root/.cache/uv \
    cd /opt/venv \
 && export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
 && /opt/uv/bin/uv pip install --quiet --constraint constraints.txt --requirement pyproject.toml --extra tpu \
 && /opt/uv/bin/uv pip uninstall --quiet kubernetes \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash lib

FROM cpu-packages AS gpu-packages
RUN --mount=type=bind,from=tools,source=/opt/uv,target=/opt/uv \
    --mount=type=cache,target=/root/.cache/uv \
    cd /opt/venv \
 && export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
 && /opt/uv/bin/uv pip install --quiet --constraint constraints.txt --requirement pyproject.toml --extra gpu \
 && /opt/uv/bin/uv pip uninstall --quiet kubernetes \
 && find lib -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.hpp' -o -name '*.a' \) -delete \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash lib

# ---- the trainer ----
FROM ${BASE} AS code
COPY trainer/ /opt/app/trainer/
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/app

# ---- the images; the code comes last, so that a change of it makes one small layer ----
FROM gpu-packages AS gpu
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resnet-launch trainer (gpu)" \
      org.opencontainers.image.description="Multi-host JAX ResNet training, one process a pod" \
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
      org.opencontainers.image.description="Multi-host JAX ResNet training, one process a pod" \
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
      org.opencontainers.image.description="Multi-host JAX ResNet training, one process a pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /opt/app
USER 65532:65532
CMD ["python", "-m", "trainer", "--help"]
COPY --from=code /opt/app /opt/app
