#!/bin/sh
# Install an extra of pyproject.toml into /opt/venv, as pinned, and leave only what a pod can use.
# Run by the Dockerfile: image-packages.sh EXTRA
set -eu
cd /opt/venv
certificates=/etc/ssl/certs/ca-certificates.crt  # the system's: a company's own authority may be among them
export PIP_CERT=$certificates SSL_CERT_FILE=$certificates
export UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
[ -e bin/python ] || python -m venv --without-pip .

# pip and uv want a hash of each requirement, not of constraints: entries of constraints.txt become requirements.
tools=$(mktemp -d)
sed -n '/^uv==/,/[^\\]$/p' constraints.txt > "$tools/uv.txt"
python -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
  --requirement "$tools/uv.txt"
uv=$tools/venv/bin/uv

"$uv" pip compile --quiet --extra "$1" --extra tensorboard --constraint constraints.txt --no-annotate --no-header \
  pyproject.toml > "$tools/resolved.txt"
python requirements.py constraints.txt < "$tools/resolved.txt" > "$tools/requirements.txt"
"$uv" pip install --quiet --require-hashes --only-binary :all: --requirement "$tools/requirements.txt"
"$uv" pip uninstall --quiet kubernetes  # 75 MB that only the launcher imports
find lib -type d -name tests -prune -exec rm -rf {} +
find lib -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.hpp' -o -name '*.a' \) -delete
# A pod cannot write bytecode; this counts whatever becomes of the files' times.
python -m compileall -q -j 0 --invalidation-mode unchecked-hash lib
rm -rf "$tools"
