#!/bin/sh
# The secrets of compose.yaml: random, readable by their owner alone, made once, never committed.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

random() {  # bytes of randomness, in hex
    head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'
}

if [ ! -s secrets/ray-token ]; then
    random 32 > secrets/ray-token
fi
if [ ! -s secrets/s3.json ] || [ ! -s secrets/aws-credentials ]; then
    access_key=$(random 10)
    secret_key=$(random 20)
    cat > secrets/s3.json <<END
{"identities": [{"name": "unfreeze", "actions": ["Admin"],
  "credentials": [{"accessKey": "$access_key", "secretKey": "$secret_key"}]}]}
END
    cat > secrets/aws-credentials <<END
[default]
aws_access_key_id = $access_key
aws_secret_access_key = $secret_key
END
fi

# The user in the containers must be the owner of these files, and must not be root.
uid=$(id -u)
if [ "$uid" -eq 0 ]; then
    uid=1000
    chown -R "$uid" secrets
fi
if [ ! -e .env ]; then
    echo "UNFREEZE_UID=$uid" > .env
fi
echo "in deploy/secrets: ray-token, s3.json, aws-credentials"
