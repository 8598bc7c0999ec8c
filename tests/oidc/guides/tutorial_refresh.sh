#!/usr/bin/env bash
# Step 5 of the OAuth tutorial.
set -euo pipefail
curl --silent --show-error --location --request POST "$ISSUER/oauth/token" \
  --header 'Content-Type: application/x-www-form-urlencoded' \
  --data-urlencode "refresh_token=$REFRESH_TOKEN" \
  --data-urlencode "client_id=$CLIENT_ID" \
  --data-urlencode "client_secret=$CLIENT_SECRET" \
  --data-urlencode 'grant_type=refresh_token'
