"""The scenarios of Authlib, the usual OAuth client of Python programs: with requests, and with httpx."""

import asyncio
import html.parser
import json
import os
import unittest
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken, UserInfo
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

WORLD = json.loads(os.environ["OIDC_WORLD"])
ISSUER = WORLD["issuer"]
PERSON = WORLD["person"]
CLIENTS = WORLD["clients"]
API = WORLD["api"]
SCOPE = "openid profile email organization offline_access"


def discovered():
    answer = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=30)
    answer.raise_for_status()
    return answer.json()


SERVER = discovered()


class Forms(html.parser.HTMLParser):
    """The forms of a page, with their fields."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.refresh = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({"action": attributes.get("action", ""), "fields": {}, "names": set()})
        if tag == "meta" and attributes.get("http-equiv", "").lower() == "refresh":
            self.refresh = attributes["content"].split("=", 1)[1].strip("'\"")
        if self.forms and tag in ("input", "button", "select") and "name" in attributes:
            form = self.forms[-1]
            form["names"].add(attributes["name"])
            kind = "submit" if tag == "button" else attributes.get("type", "text").lower()
            if kind != "submit" and (kind not in ("radio", "checkbox") or "checked" in attributes):
                form["fields"][attributes["name"]] = attributes.get("value", "")


def browse(address, answers):
    """Follows redirects and fills in forms until the client is reached: the address it is called back at."""
    browser = requests.Session()
    answer = browser.get(address, allow_redirects=False, timeout=30)
    for _ in range(20):
        forms = Forms(answer.text)
        target = answer.headers.get("location") or forms.refresh
        if target is not None:
            target = urljoin(answer.url, target)
            if not target.startswith(f"{ISSUER}/"):
                return target
            answer = browser.get(target, allow_redirects=False, timeout=30)
            continue
        form = next((each for each in forms.forms if each["names"] & {"password", "decision", "organization"}), None)
        if form is None:
            raise AssertionError(f"no client was reached, but {answer.url} ({answer.status_code}):\n{answer.text}")
        fields = form["fields"] | {name: answers[name] for name in form["names"] if name in answers}
        target = urljoin(answer.url, form["action"])
        headers = {"Origin": ISSUER}
        answer = browser.post(target, data=fields, headers=headers, allow_redirects=False, timeout=30)
    raise AssertionError(f"no end at {answer.url}")


def session(name, **options):
    """A client as its developer writes it."""
    of = CLIENTS[name]
    return OAuth2Session(
        of["client_id"],
        of.get("client_secret"),
        redirect_uri=of.get("redirect_uri"),
        code_challenge_method="S256",
        token_endpoint=SERVER["token_endpoint"],
        **options,
    )


def authorization(client, verifier, nonce, scope=SCOPE):
    endpoint = SERVER["authorization_endpoint"]
    return client.create_authorization_url(endpoint, code_verifier=verifier, nonce=nonce, scope=scope)


def sign_in(client, scope=SCOPE):
    """From the client's link to its tokens and the nonce it asked with."""
    verifier, nonce = generate_token(48), generate_token()
    address, state = authorization(client, verifier, nonce, scope)
    callback = browse(address, PERSON | {"decision": "authorize"})
    token = client.fetch_token(
        SERVER["token_endpoint"], authorization_response=callback, state=state, code_verifier=verifier
    )
    return token, nonce


def verified(token, client_id, nonce, algorithm="RS256"):
    """An ID token, checked by Authlib against the published keys."""
    keys = KeySet.import_key_set(requests.get(SERVER["jwks_uri"], timeout=30).json())
    decoded = jwt.decode(token["id_token"], keys, algorithms=[algorithm])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": client_id}},
        params={"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]},
    )
    claims.validate(leeway=5)
    return claims


class WithRequests(unittest.TestCase):
    def test_discovery_names_what_the_library_uses(self):
        self.assertEqual(SERVER["issuer"], ISSUER)
        for name in ("token_endpoint", "userinfo_endpoint", "revocation_endpoint", "introspection_endpoint"):
            self.assertTrue(SERVER[name].startswith(ISSUER), name)

    def test_a_person_signs_in_and_the_id_token_is_valid(self):
        for name, algorithm in [("web", "RS256"), ("web_es256", "ES256"), ("web_eddsa", "EdDSA"), ("spa", "RS256")]:
            with self.subTest(name):
                client = session(name)
                token, nonce = sign_in(client)
                claims = verified(token, CLIENTS[name]["client_id"], nonce, algorithm)
                self.assertEqual(claims["sub"], PERSON["id"])
                user = UserInfo(client.get(SERVER["userinfo_endpoint"]).json())
                self.assertEqual(user.sub, PERSON["id"])
                self.assertEqual(user.email, PERSON["email"])

    def test_the_secret_may_stand_in_the_body(self):
        client = session("web", token_endpoint_auth_method="client_secret_post")
        token, nonce = sign_in(client)
        verified(token, CLIENTS["web"]["client_id"], nonce)

    def test_tokens_are_refreshed(self):
        client = session("web")
        first, nonce = sign_in(client)
        first = dict(first)
        second = client.refresh_token(SERVER["token_endpoint"])
        self.assertNotEqual(first["refresh_token"], second["refresh_token"])
        claims = verified(second, CLIENTS["web"]["client_id"], None)
        self.assertEqual(claims["sub"], PERSON["id"])
        # Core §12.2: the time of the sign-in stays what it was.
        self.assertEqual(claims["auth_time"], verified(first, CLIENTS["web"]["client_id"], nonce)["auth_time"])

    def test_tokens_are_introspected_and_revoked(self):
        client = session("web")
        token, _ = sign_in(client)
        seen = client.introspect_token(SERVER["introspection_endpoint"], token=token["access_token"])
        self.assertEqual(seen.status_code, 200)
        self.assertTrue(seen.json()["active"])
        self.assertEqual(seen.json()["sub"], PERSON["id"])
        revoked = client.revoke_token(SERVER["revocation_endpoint"], token=token["refresh_token"])
        self.assertEqual(revoked.status_code, 200)
        for each in (token["access_token"], token["refresh_token"]):
            seen = client.introspect_token(SERVER["introspection_endpoint"], token=each)
            self.assertEqual(seen.json(), {"active": False})
        with self.assertRaises(OAuthError) as refused:
            client.refresh_token(SERVER["token_endpoint"], refresh_token=token["refresh_token"])
        self.assertEqual(refused.exception.error, "invalid_grant")

    def test_a_service_gets_a_token_for_an_api(self):
        client = session("m2m")
        token = client.fetch_token(
            SERVER["token_endpoint"],
            grant_type="client_credentials",
            audience=API["identifier"],
            scope="read:products",
        )
        keys = KeySet.import_key_set(requests.get(SERVER["jwks_uri"], timeout=30).json())
        decoded = jwt.decode(token["access_token"], keys, algorithms=["ES256"])
        self.assertEqual(decoded.header["typ"], "at+jwt")
        self.assertIn(API["identifier"], decoded.claims["aud"])
        self.assertEqual(decoded.claims["scope"], "read:products")

    def test_a_private_key_proves_the_client(self):
        key = ECKey.import_key(WORLD["key_pem"])
        for name in ("jwt", "m2m_jwt"):
            with self.subTest(name):
                of = CLIENTS[name]
                client = OAuth2Session(
                    of["client_id"],
                    key,
                    redirect_uri=of.get("redirect_uri"),
                    code_challenge_method="S256",
                    token_endpoint_auth_method="private_key_jwt",
                )
                client.register_client_auth_method(PrivateKeyJWT(SERVER["token_endpoint"], alg="ES256"))
                if name == "jwt":
                    token, nonce = sign_in(client)
                    verified(token, of["client_id"], nonce)
                else:
                    arguments = {"grant_type": "client_credentials", "audience": API["identifier"]}
                    token = client.fetch_token(SERVER["token_endpoint"], **arguments)
                    self.assertEqual(token["token_type"].lower(), "bearer")

    def test_errors_are_the_librarys_errors(self):
        client = session("web")
        verifier, nonce = generate_token(48), generate_token()
        address, state = authorization(client, verifier, nonce, "openid emial")
        callback = browse(address, PERSON)
        answer = dict(parse_qsl(urlsplit(callback).query))
        self.assertEqual(answer["error"], "invalid_scope")
        self.assertEqual(answer["error_description"], "Requested scope not allowed")
        self.assertEqual(answer["state"], state)

        client = OAuth2Session("client_unknown", "sk_unknown")
        with self.assertRaises(OAuthError) as refused:
            client.fetch_token(SERVER["token_endpoint"], code="auth_x", redirect_uri="https://app.example/callback")
        self.assertEqual((refused.exception.error, refused.exception.description), ("invalid_client", "Client not found"))


class WithHttpx(unittest.TestCase):
    def test_an_async_program_signs_people_in_and_refreshes(self):
        asyncio.run(self.signs_in())

    async def signs_in(self):
        of = CLIENTS["web"]
        async with AsyncOAuth2Client(
            of["client_id"],
            of["client_secret"],
            redirect_uri=of["redirect_uri"],
            code_challenge_method="S256",
            token_endpoint=SERVER["token_endpoint"],
        ) as client:
            verifier, nonce = generate_token(48), generate_token()
            address, state = authorization(client, verifier, nonce)
            callback = await asyncio.to_thread(browse, address, PERSON)
            token = await client.fetch_token(authorization_response=callback, state=state, code_verifier=verifier)
            verified(token, of["client_id"], nonce)
            # It has expired as far as the library knows: it refreshes before it asks.
            client.token = token | {"expires_at": 1}
            user = await client.get(SERVER["userinfo_endpoint"])
            self.assertEqual(user.json()["email"], PERSON["email"])
            self.assertNotEqual(client.token["refresh_token"], token["refresh_token"])


if __name__ == "__main__":
    # The library insists on https elsewhere; this is the loopback interface.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    unittest.main(verbosity=2)
