#!/bin/sh
# Installs the system packages that a command of this project needs, and
# nothing if they are all there.
#
#   deploy/install.sh                 what `make demo` and `make test` need
#   deploy/install.sh PACKAGE...      these Debian packages (mariadb: its server)
#   deploy/install.sh --npm DIR       the npm packages that DIR/package-lock.json
#                                     pins; prints the folder that they are in
#
# As root, or by `sudo -n`; else it prints the command to run and exits 1.
# Services of the packages are not started: Lockstep's tests and demo start
# private servers of their own.
set -eu

if [ $# -eq 0 ]; then
	set -- postgresql mariadb redis-server softhsm2 systemd awscli jq python3-boto3 python3-psycopg2 nodejs npm
fi

# have PATTERN...: is one of these programs there? A pattern without a slash is
# looked for on the PATH.
have() {
	for pattern in "$@"; do
		case $pattern in
		*/*)
			for file in $pattern; do
				if [ -x "$file" ]; then return 0; fi
			done
			;;
		*)
			if command -v "$pattern" >/dev/null 2>&1; then return 0; fi
			;;
		esac
	done
	return 1
}

# installed PACKAGE: looks for the program itself first, since that is fast and
# also right where it was not installed as a Debian package.
installed() {
	case $1 in
	postgresql) have '/usr/lib/postgresql/*/bin/initdb' initdb && return 0 ;;
	softhsm2) have softhsm2-util && return 0 ;;
	mariadb-server) have mariadbd /usr/sbin/mariadbd && return 0 ;;
	redis-server) have redis-server && return 0 ;;
	openssh-server) have /usr/sbin/sshd sshd && return 0 ;;
	slapd) have /usr/sbin/slapd slapd && return 0 ;;
	rabbitmq-server) have /usr/sbin/rabbitmq-server rabbitmq-server && return 0 ;;
	# The tests call these two by their full names: another one that comes
	# first on the PATH does not count.
	awscli) have /usr/bin/aws && return 0 ;;
	python3-boto3) /usr/bin/python3 -c 'import boto3' 2>/dev/null && return 0 ;;
	python3-psycopg2) /usr/bin/python3 -c 'import psycopg2' 2>/dev/null && return 0 ;;
	systemd) have systemd-analyze && return 0 ;;
	nodejs) have node && return 0 ;;
	npm) have npm && return 0 ;;
	jq) have /usr/bin/jq && return 0 ;;
	esac
	command -v dpkg-query >/dev/null 2>&1 || return 1
	status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || return 1
	[ "$status" = installed ]
}

# npm_packages DIR: installs once for each content of the lock file, into the
# user's cache and not beside the sources, and prints the folder. The last step
# is a rename, so that a folder is whole whoever else installs at that time.
npm_packages() {
	pinned=$(cat "$1/package.json" "$1/package-lock.json" | sha256sum | cut -c 1-16)
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/lockstep
	if [ ! -d "$cache/npm-$pinned" ]; then
		mkdir -p "$cache"
		fresh=$(mktemp -d "$cache/new-XXXXXX")
		cp "$1/package.json" "$1/package-lock.json" "$fresh/"
		echo "install.sh: installing the npm packages of $1" >&2
		if ! npm ci --prefix "$fresh" --ignore-scripts --no-audit --no-fund --loglevel=error >&2; then
			rm -rf "$fresh"
			return 1
		fi
		mv -T "$fresh" "$cache/npm-$pinned" 2>/dev/null || rm -rf "$fresh"
	fi
	echo "$cache/npm-$pinned"
}

if [ "$1" = --npm ]; then
	if [ $# -ne 2 ]; then
		echo "usage: install.sh --npm DIR" >&2
		exit 2
	fi
	npm_packages "$2"
	exit
fi

missing=
for package in "$@"; do
	# Only what can be a package name: it is handed to a shell of root.
	case $package in
	'' | -* | *[!a-z0-9.+-]*)
		echo "install.sh: not a package name: $package" >&2
		exit 2
		;;
	esac
	# By the server's own name, which is no package of Debian's.
	if [ "$package" = mariadb ]; then package=mariadb-server; fi
	installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install.sh: this system has no apt; please install by its own means:$missing" >&2
	exit 1
fi

if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		# shellcheck disable=SC2086 # a list of names without spaces
		exec sudo -n sh "$0" $missing
	fi
	echo "install.sh: missing:$missing; please run" >&2
	echo "    sudo sh $0$missing" >&2
	exit 1
fi

# Debian asks this file whether a service may start; 101 means no. A file that
# is already there is the owner's word and stays as it is; ours goes again,
# whatever happens.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	(umask 022 && printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy")
fi

install_missing() {
	# shellcheck disable=SC2086 # a list of names without spaces
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends $missing
}

echo "install.sh: installing$missing" >&2
# The package lists may be old or absent: refresh them only if they do not do.
install_missing || { apt-get -q update && install_missing; }
