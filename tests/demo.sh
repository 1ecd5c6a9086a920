#!/bin/sh
# The demo of `make run`: a server with the presence service deployed, three users, and one of them always busy.
# XMPP, HTTP and CONSOLE (ADDR:PORT) move the listeners; STATE is the folder that remembers everything.
set -eu
umask 077
cd "$(dirname "$0")/.."

xmpp=${XMPP:-127.0.0.1:5222}
http=${HTTP:-127.0.0.1:9090}
console=${CONSOLE:-127.0.0.1:9091}
state=${STATE:-state}
built=${CARGO_TARGET_DIR:-target}/release
users=$state/demo-users.txt
host= busy=

# However this ends, nothing keeps running.
stop() {
    trap - EXIT INT TERM
    for process in $busy $host; do kill "$process" 2>/dev/null || true; done
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

# Whether others may write to a folder above this one. The server takes no plugin from there, for good reason; but on some systems
# that is how every user's folders are made, and a demo should run there too.
is_loose() {
    folder=$PWD
    while [ "$folder" != / ]; do
        folder=$(dirname "$folder")
        [ -z "$(find "$folder" -maxdepth 0 -perm /022 ! -perm -1000)" ] || return 0
    done
    return 1
}

configure() {
    cp tests/demo.toml "$state/demo.toml"
    if is_loose; then
        echo "make run: others may write to $folder: this demo takes plugins all the same" >&2
        echo 'trust_everybody = true' >>"$state/demo.toml"
    fi
}

# A file moved into place is whole from the first moment on.
deploy() {
    chmod go-w . plugins
    install -m 644 "$built/libpresence_plugin.so" "$state/presence.so.new"
    mv "$state/presence.so.new" plugins/presence.so
}

# The file of users has a line `JID PASSWORD` for each.
add_users() {
    touch "$users"
    for name in alice bob carol; do
        grep -q "^$name@localhost " "$users" && continue
        password=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
        echo "$password" | "$built/host-demo" user add "$name@localhost" --password-stdin --state "$state" >/dev/null
        echo "$name@localhost $password" >>"$users"
    done
}

# Starts the server and returns once it is ready. It says so in one line on standard output.
serve() {
    rm -f "$state/ready"
    mkfifo "$state/ready"
    "$built/host-demo" serve --config "$state/demo.toml" --state "$state" --xmpp "$xmpp" --http "$http" --console "$console" >"$state/ready" &
    host=$!
    exec 3<"$state/ready"
    rm "$state/ready"
    if ! read -r ready <&3; then
        status=0
        wait "$host" || status=$?
        echo 'make run: other addresses are set like this: HTTP=127.0.0.1:9190 CONSOLE=127.0.0.1:9191 make run' >&2
        exit "$status"
    fi
    for word in $ready; do
        case $word in
            xmpp=*) xmpp=${word#xmpp=} ;;
            http=*) http=${word#http=} ;;
            console=*) console=${word#console=} ;;
        esac
    done
}

# What is done once. Later runs leave alone whatever you changed since.
introduce() {
    [ ! -e "$state/demo-introduced" ] || return 0
    "$built/demo-friends" --xmpp "$xmpp" <"$users"
    "$built/host-demo" setting set presence.visibility anyone --state "$state" >/dev/null
    touch "$state/demo-introduced"
}

password_of() { sed -n "s/^$1@localhost //p" "$users"; }

explain() {
    status="http://$http/plugins/presence/status?jid=carol@localhost"
    cat <<TEXT

The server is up; Ctrl-C ends it. Carol changes her presence every few seconds.

  open       http://$http/          the icons, live
             http://$console/          the plugins and their state

  users      alice@localhost   password $(password_of alice)
             bob@localhost     password $(password_of bob)
             (kept in $users; carol is in the rosters of both)

  log in     profanity, then:  /connect alice@localhost server ${xmpp%:*} port ${xmpp##*:} tls trust
             and:              /status set away Lunch

  ask        curl '$status&type=text'
             curl '$status&type=xml'
             curl -o carol.gif '$status'

  upgrade    cp $built/libpresence_plugin.so plugins/presence.so
  withdraw   rm plugins/presence.so

So that the page can show something, this demo lets anyone see everybody's presence. The default is to show it to
subscribed users only:  $built/host-demo setting set presence.visibility subscribed${STATE:+ --state $STATE}

TEXT
}

mkdir -p "$state"
# Before anything is dropped into the folder of a server that runs: it would deploy it.
if [ -e "$state/host.lock" ] && ! flock -n "$state/host.lock" true; then
    echo "make run: a server runs on $state already (process $(cat "$state/host.lock")): end it first, or set STATE" >&2
    exit 1
fi
configure
deploy
add_users
serve
introduce
plugins=$("$built/host-demo" plugin list --state "$state")
case $plugins in *active*) ;; *) printf '%s\n' 'The presence service is not deployed:' "$plugins" >&2 ;; esac
password_of carol | "$built/demo-user" --xmpp "$xmpp" --jid carol@localhost --password-stdin &
busy=$!
explain
wait "$host"
