#!/bin/sh
# Make the token that all nodes of a cluster and this machine share, readable by its owner alone.
# `ray get-auth-token --generate` leaves it readable by everyone on this machine.
set -eu
umask 077
mkdir -p ~/.ray
test -s ~/.ray/auth_token || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > ~/.ray/auth_token
chmod 600 ~/.ray/auth_token
echo "$HOME/.ray/auth_token"
