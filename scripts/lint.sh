#!/usr/bin/env bash
# Lints what is not Python: shell scripts, YAML, the Containerfile, Ansible's roles and playbooks. `make check` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv-lint/bin:$PATH

if ! command -v shellcheck >/dev/null; then  # its wheel is for x86_64 only
    echo "not run: shellcheck; apt-get install shellcheck" >&2
    shellcheck() { :; }
fi
shellcheck .ci/run scripts/*.sh deploy/*.sh
yamllint --strict ansible deploy
hadolint deploy/Containerfile
cd ansible
ansible-lint -q --offline --strict --profile production
