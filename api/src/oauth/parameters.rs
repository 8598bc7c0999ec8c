//! The parameters of an OAuth request, each given once (RFC 6749 §3.1, §3.2).

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use url::form_urlencoded;

use super::OAuthError;

/// What a client sent, from a query, a form or JSON.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    values: HashMap<String, String>,
    /// The one parameter that may stand more than once (RFC 8707 §2).
    resources: Vec<String>,
}

impl Parameters {
    /// Reads a query or form body; the error is a sentence about what is wrong with it.
    pub(crate) fn from_form(form: &[u8]) -> Result<Self, String> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(form) {
            if value.contains('\u{FFFD}') || name.contains('\u{FFFD}') {
                return Err("the parameters must be UTF-8".to_owned());
            }
            parameters.add(name.into_owned(), value.into_owned())?;
        }
        Ok(parameters)
    }

    /// Reads a form body, which must say that it is one.
    pub(crate) fn from_form_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        if content_type(headers) != "application/x-www-form-urlencoded" {
            return Err(OAuthError::invalid_request("Content-Type must be application/x-www-form-urlencoded"));
        }
        Self::from_form(body).map_err(OAuthError::invalid_request)
    }

    /// Reads the body of a token request: a form, or a JSON object of strings (C5).
    pub(crate) fn from_form_or_json(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        match content_type(headers).as_str() {
            "application/x-www-form-urlencoded" => Self::from_form(body).map_err(OAuthError::invalid_request),
            "application/json" => {
                // Why it is none would repeat what was sent, in characters that RFC 6749 §5.2 does not allow.
                let pairs = unique::object_of_strings(body).map_err(|_| {
                    OAuthError::invalid_request("the body must be a JSON object of strings, each name given once")
                })?;
                let mut parameters = Self::default();
                for (name, value) in pairs {
                    parameters.add(name, value).map_err(OAuthError::invalid_request)?;
                }
                Ok(parameters)
            }
            _ => Err(OAuthError::invalid_request(
                "Content-Type must be application/x-www-form-urlencoded or application/json",
            )),
        }
    }

    fn add(&mut self, name: String, value: String) -> Result<(), String> {
        // PostgreSQL stores no text with it.
        if name.contains('\0') || value.contains('\0') {
            return Err("the parameters must not contain NUL".to_owned());
        }
        if name == "resource" && !value.is_empty() {
            self.resources.push(value.clone());
            self.values.insert(name, value);
            return Ok(());
        }
        // The name may be anything, so it is not repeated unless it is one that we know how to show.
        let shown = if name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_graphic()) {
            name.clone()
        } else {
            "a parameter".to_owned()
        };
        if self.values.insert(name, value).is_some() { Err(format!("{shown} is given twice")) } else { Ok(()) }
    }

    /// A value; one without text counts as left out (RFC 6749 §3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
    }

    /// The APIs that tokens are asked for: every `resource` (RFC 8707 §2) and `audience`, its older name (R096).
    pub(crate) fn audiences(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(String::as_str).chain(self.get("audience"))
    }
}

/// A body as it came; one that is too long or breaks off is answered as OAuth answers.
pub(crate) struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthError> {
        Bytes::from_request(request, state).await.map(Self).map_err(|why| OAuthError::body_unusable(why.status()))
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// JSON objects of strings in which no name stands twice: serde_json alone would take the last one.
mod unique {
    use std::collections::HashMap;
    use std::fmt;

    use serde::de::{Deserializer, Error, MapAccess, Visitor};

    pub(super) fn object_of_strings(body: &[u8]) -> Result<HashMap<String, String>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let object = json.deserialize_map(Object)?;
        json.end()?;
        Ok(object)
    }

    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = HashMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut object = HashMap::new();
            while let Some((name, value)) = members.next_entry::<String, String>()? {
                if object.contains_key(&name) {
                    return Err(A::Error::custom("a member is given twice"));
                }
                object.insert(name, value);
            }
            Ok(object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_given_twice_is_refused_in_both_forms() {
        assert_eq!(Parameters::from_form(b"a=1&a=2").unwrap_err(), "a is given twice");
        assert!(unique::object_of_strings(br#"{"a": "1", "a": "2"}"#).is_err());
        assert!(unique::object_of_strings(br#"{"a": 1}"#).is_err());
        assert!(unique::object_of_strings(br#"{"a": "1"} x"#).is_err());
    }

    #[test]
    fn a_parameter_without_a_value_counts_as_left_out() {
        let parameters = Parameters::from_form(b"state=&scope=a+b").unwrap();
        assert_eq!(parameters.get("state"), None);
        assert_eq!(parameters.get("scope"), Some("a b"));
    }

    #[test]
    fn several_apis_may_be_named() {
        let parameters = Parameters::from_form(b"resource=urn:a&resource=urn:b&audience=urn:c").unwrap();
        assert_eq!(parameters.audiences().collect::<Vec<_>>(), ["urn:a", "urn:b", "urn:c"]);
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        assert!(Parameters::from_form(b"state=%FF").is_err());
    }
}
