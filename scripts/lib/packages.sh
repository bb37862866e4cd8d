# Shell functions that bring in what a script needs; to be sourced by bash.

# install_packages NAME... installs Debian packages, as root only.
install_packages() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "missing here, and this is not root on Debian: $*" >&2
		return 1
	fi
	[ -n "${packages_updated:-}" ] || apt-get -qq update
	packages_updated=1
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
}

# need PROGRAM PACKAGE installs the package when the program is not there.
need() { command -v "$1" >/dev/null || install_packages "$2"; }
