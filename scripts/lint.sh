#!/usr/bin/env bash
# Lints what is not Python: shell scripts, YAML, Ansible, the Containerfile. Makes .venv-lint first, if it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv-lint/bin
if [ ! -e .venv-lint/.ready ] || [ requirements-lint.lock -nt .venv-lint/.ready ]; then
    echo "== making .venv-lint (locked versions)"
    "${PYTHON:-.venv/bin/python}" -m venv .venv-lint
    $bin/python -m pip --disable-pip-version-check install -q --progress-bar off -r requirements-lint.lock
    touch .venv-lint/.ready
fi
export PATH=$PWD/$bin:$PATH

shellcheck .ci/run scripts/*.sh deploy/*.sh
yamllint --strict ansible deploy
hadolint deploy/Containerfile
cd ansible
ansible-lint --offline --strict --profile production
