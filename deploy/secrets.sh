#!/bin/sh
# Makes what docker-compose.prod.yml needs and nobody else may know, in the
# folder given: passwords in the file env, and the certificates of the NATS
# servers. What is there already stays: remove a file to have it made anew, and
# docs/operations.md tells when.
#
#   deploy/secrets.sh deploy/secrets [host …]     hosts of the NATS servers;
#                                                 default: nats-1 nats-2 nats-3
set -eu
umask 077
folder=${1:?usage: secrets.sh FOLDER [HOST …]}
shift
[ $# -gt 0 ] || set -- nats-1 nats-2 nats-3
mkdir -p "$folder"
cd "$folder"

# Passwords begin with a letter: NATS would take 12345 for a number.
[ -e env ] || for name in NATS_INGRESS_PASSWORD NATS_WORKER_PASSWORD NATS_LOGSINK_PASSWORD NATS_ADMIN_PASSWORD \
	CLICKHOUSE_SINK_PASSWORD CLICKHOUSE_READER_PASSWORD GRAFANA_PASSWORD; do
	echo "$name=p$(openssl rand -hex 20)"
done >env

if [ ! -e ca.pem ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-subj "/CN=model-proxy NATS" -keyout ca-key.pem -out ca.pem
	rm -f server.pem
fi

if [ ! -e server.pem ]; then
	names="DNS:localhost,IP:127.0.0.1"
	for host; do names="$names,DNS:$host"; done
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=nats" -keyout server-key.pem -out server.csr
	printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" >server.ext
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 825 -extfile server.ext -out server.pem
	rm -f server.csr server.ext
fi
chmod 644 ca.pem # not a secret, and read by the gateway's own user
echo "$PWD: env, ca.pem, server.pem, server-key.pem. Keep ca-key.pem elsewhere: who has it can join the cluster."
