# What every shell journey uses; to be sourced. ENDPOINT (host:port), ACCESS_KEY, SECRET_KEY and WORK (an
# empty directory) come from the caller.
set -euo pipefail
URL=http://$ENDPOINT
TREE=$WORK/tree
export AWS_ACCESS_KEY_ID=$ACCESS_KEY AWS_SECRET_ACCESS_KEY=$SECRET_KEY AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=$WORK/aws-config AWS_SHARED_CREDENTIALS_FILE=$WORK/none AWS_EC2_METADATA_DISABLED=true AWS_PAGER=
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
unset AWS_CA_BUNDLE AWS_PROFILE AWS_SESSION_TOKEN
# File names are UTF-8 whatever the machine's locale is.
export LC_ALL=C.UTF-8 PYTHONUTF8=1

fail() {
	echo "journey: $*" >&2
	exit 1
}

# random SIZE FILE writes incompressible bytes.
random() { head -c "$1" /dev/urandom >"$2"; }

# make_tree fills TREE with all sizes and all names a file system allows.
make_tree() {
	local long a
	mkdir -p "$TREE/sizes" "$TREE/names/deeper/still"
	: >"$TREE/sizes/empty"
	random 1 "$TREE/sizes/one"
	random $((5 << 20)) "$TREE/sizes/five"
	random $((70 << 20)) "$TREE/sizes/seventy"
	for a in 'with space' 'plus+sign' 'percent%25 and %' 'ünïcödé 中文' 'emoji-😀' 'a&b=c#e' "quote'" 'semi;colon,comma' \
		'tilde~!$()@' 'deeper/still/file'; do
		random 100 "$TREE/names/$a"
	done
	# a key of 1024 bytes: five components, none above what a file system takes
	long=$(printf 'k%.0s' {1..255})
	mkdir -p "$TREE/$long/$long/$long/${long:1}"
	random 10 "$TREE/$long/$long/$long/${long:1}/z"
}

# same DIR fails unless DIR holds exactly what TREE holds.
same() { diff -r "$TREE" "$1" >"$WORK/diff" 2>&1 || { head -5 "$WORK/diff" >&2; fail "what came back differs"; }; }

count() { find "$TREE" -type f | wc -l; }
