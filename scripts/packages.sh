# What the build, the tests and the demo need from the system, one function per group. Sourced by the other scripts.
# Every group is quick when all is there, and works as root or with sudo. Debian and Ubuntu are installed for; on
# other systems the missing piece is named.

# Set by the first installation, so that the package lists are fetched once.
packages_updated=

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $1"
  say "hint: $2"
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "installing packages needs root" "run this as root, install sudo, or install by hand: $*"
  fi
}

# install PACKAGE... : those that are missing, through apt.
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    fail "missing: ${missing[*]} (names of Debian packages)" "install them with this system's package manager"
  say "installing: ${missing[*]}"
  if [ -z "$packages_updated" ]; then
    as_root apt-get update -qq
    packages_updated=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A C compiler, and libclang with its own headers: the bindings of PostgreSQL's parser are made with them. bindgen
# finds libclang in /usr/lib/llvm-*/lib by itself.
need_build_tools() {
  command -v cc >/dev/null && command -v make >/dev/null || install_packages gcc g++ make libc6-dev
  need_rust
  if ! compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && [ -z "${LIBCLANG_PATH:-}" ]; then
    if [ -z "$packages_updated" ] && command -v apt-get >/dev/null; then
      as_root apt-get update -qq
      packages_updated=1
    fi
    local version
    version=$(apt-cache depends libclang1 2>/dev/null | sed -n 's/.*Depends: libclang1-\([0-9]*\).*/\1/p' | head -n 1 || true)
    install_packages "libclang1-${version:-14}" "libclang-common-${version:-14}-dev"
  fi
  local header
  header=$(compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' | head -n 1 || true)
  [ -n "$header" ] || [ -n "${LIBCLANG_PATH:-}" ] || install_packages libclang-dev
}

# Cargo by rustup: rust-toolchain.toml then chooses the version.
need_rust() {
  command -v cargo >/dev/null || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
  command -v cargo >/dev/null ||
    fail "cargo is not installed" "curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- -y"
}

# A PostgreSQL server with its tools. The tests and the demo make scratch clusters of their own and never touch one
# that runs here; so when the package comes because of us, it is told not to make its "main" cluster.
need_postgresql() {
  command -v initdb >/dev/null && return 0
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return 0
  if [ -d /etc ] && [ ! -e /etc/postgresql-common ]; then
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' |
      as_root tee /etc/postgresql-common/createcluster.d/no-main-cluster.conf >/dev/null
  fi
  install_packages postgresql postgresql-client
}

# What `cargo xtask bench` compares with.
need_bench_peers() {
  need_postgresql
  install_packages haproxy pgbouncer strace
}

# Drivers and MCP servers of the end-to-end tests: tests/clients says which programs it needs and which Debian package
# brings each (a machine may have a program from elsewhere), and fetches the rest.
need_clients() {
  [ -x tests/clients/setup ] || return 0
  local program package missing=()
  while read -r program package; do
    case $program in
      '' | \#*) continue ;;
      /*) compgen -G "$program" >/dev/null || missing+=("$package") ;;
      python3-venv) python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=("$package") ;;
      *) command -v "$program" >/dev/null || missing+=("$package") ;;
    esac
  done <tests/clients/apt.txt
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
  tests/clients/setup
}
