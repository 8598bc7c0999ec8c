//! What the forms of a client say, and what is wrong with it, field by field.

use std::str::FromStr;

use api::Problem;
use axum::http::StatusCode;
use domain::{ClientChange, ClientType, InvalidValue, Scopes};
use projections::ClientRow;
use serde::Deserialize;

/// The fields as they were typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClientForm {
    pub client_type: String,
    pub name: String,
    pub description: String,
    pub logo_uri: String,
    /// One per line, like the next two.
    pub redirect_uris: String,
    pub post_logout_redirect_uris: String,
    pub allowed_origins: String,
    /// With spaces between them.
    pub allowed_scopes: String,
}

/// Sentences, each about a field; one about no field concerns the whole form.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<(String, String)>);

impl ClientForm {
    /// As a client is now.
    pub fn of(row: &ClientRow) -> Self {
        let settings = row.settings();
        Self {
            client_type: row.client_type.clone(),
            name: row.name.clone(),
            description: settings.description.map(|text| text.to_string()).unwrap_or_default(),
            logo_uri: settings.logo_uri.map(|uri| uri.to_string()).unwrap_or_default(),
            redirect_uris: row.redirect_uris().join("\n"),
            post_logout_redirect_uris: one_per_line(&settings.post_logout_redirect_uris),
            allowed_origins: one_per_line(&settings.allowed_origins),
            allowed_scopes: row.scopes().join(" "),
        }
    }

    /// A new client.
    pub fn read_new(&self) -> Result<(ClientType, ClientChange), Errors> {
        let mut errors = Errors::default();
        let client_type = errors.take("client_type", "The application type", self.client_type.parse::<ClientType>());
        let change = self.read();
        match (client_type, change) {
            (Some(client_type), Ok(mut change)) => {
                // The page suggests what interactive clients ask for, which would mean nothing to a machine.
                if client_type == ClientType::M2m && self.allowed_scopes == api::clients::DEFAULT_SCOPES {
                    change.allowed_scopes = None;
                }
                Ok((client_type, change))
            }
            (_, Ok(_)) => Err(errors),
            (_, Err(others)) => {
                errors.0.extend(others.0);
                Err(errors)
            }
        }
    }

    /// Every field of the form, as a change.
    pub fn read(&self) -> Result<ClientChange, Errors> {
        let mut errors = Errors::default();
        let change = ClientChange {
            name: errors.take("name", "The name", self.name.parse()),
            description: errors.take("description", "The description", optional(&self.description)),
            logo_uri: errors.take("logo_uri", "The logo's address", optional(&self.logo_uri)),
            redirect_uris: errors.lines("redirect_uris", &self.redirect_uris),
            post_logout_redirect_uris: errors.lines("post_logout_redirect_uris", &self.post_logout_redirect_uris),
            allowed_origins: errors.lines("allowed_origins", &self.allowed_origins),
            allowed_scopes: errors.take("allowed_scopes", "Each scope", words(&self.allowed_scopes)),
            ..ClientChange::default()
        };
        if errors.0.is_empty() { Ok(change) } else { Err(errors) }
    }
}

impl Errors {
    /// What is wrong with a field.
    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(about, _)| about == field).map(|(_, sentence)| sentence.as_str())
    }

    /// Whether anything is.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What is wrong with none of the form's fields.
    pub fn general(&self) -> Option<&str> {
        self.of("")
    }

    /// Errors that the person can mend here become sentences of the form; others stay errors.
    pub fn or_else<T>(outcome: Result<T, Problem>) -> Result<Result<T, Self>, Problem> {
        const FIELDS: [&str; 5] = ["name", "redirect_uris", "post_logout_redirect_uris", "allowed_origins", "logo_uri"];
        match outcome {
            Ok(done) => Ok(Ok(done)),
            Err(problem) if problem.status() == StatusCode::BAD_REQUEST => {
                let field = problem.field().filter(|field| FIELDS.contains(field)).unwrap_or_default();
                let detail = problem.detail();
                let sentence = detail.strip_prefix(field).map_or(detail, str::trim_start);
                let sentence = if field.is_empty() { detail.to_owned() } else { format!("These {sentence}.") };
                Ok(Err(Self(vec![(field.to_owned(), sentence)])))
            }
            Err(problem) => Err(problem),
        }
    }

    fn take<T>(&mut self, field: &str, subject: &str, parsed: Result<T, InvalidValue>) -> Option<T> {
        parsed.map_err(|wrong| self.0.push((field.to_owned(), format!("{subject} {}.", wrong.reason)))).ok()
    }

    fn lines<T: FromStr<Err = InvalidValue>>(&mut self, field: &str, text: &str) -> Option<Vec<T>> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let parsed = lines.map(|(at, line)| line.parse().map_err(|wrong: InvalidValue| (at, wrong)));
        let wrong = |(at, wrong): (usize, InvalidValue)| {
            self.0.push((field.to_owned(), format!("Line {} {}.", at + 1, wrong.reason)));
        };
        parsed.collect::<Result<Vec<T>, _>>().map_err(wrong).ok()
    }
}

fn optional<T: FromStr<Err = InvalidValue>>(text: &str) -> Result<Option<T>, InvalidValue> {
    let text = text.trim();
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

fn words(text: &str) -> Result<Scopes, InvalidValue> {
    text.split_whitespace().collect::<Vec<_>>().join(" ").parse()
}

fn one_per_line(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_form() -> ClientForm {
        ClientForm { client_type: "web".into(), name: "CRM".into(), ..ClientForm::default() }
    }

    #[test]
    fn lines_and_words_become_lists_and_nothing_becomes_the_default() {
        let form = ClientForm {
            redirect_uris: "https://a.example/cb\r\n\r\n  https://b.example/cb  \r\n".into(),
            allowed_scopes: " openid \n email".into(),
            ..a_form()
        };
        let (client_type, change) = form.read_new().unwrap();
        assert_eq!(client_type, ClientType::Web);
        let uris: Vec<String> = change.redirect_uris.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(uris, ["https://a.example/cb", "https://b.example/cb"]);
        assert_eq!(change.allowed_scopes.unwrap().to_string(), "openid email");
        assert_eq!(change.description, Some(None));
        assert_eq!(change.first_party, None, "what the form does not show stays");
    }

    #[test]
    fn every_wrong_field_is_named_with_its_line() {
        let form = ClientForm {
            client_type: "desktop".into(),
            name: " ".into(),
            redirect_uris: "https://a.example/cb\nhttp://b.example/cb".into(),
            allowed_origins: "https://a.example/path".into(),
            ..ClientForm::default()
        };
        let errors = form.read_new().unwrap_err();
        for field in ["client_type", "name", "redirect_uris", "allowed_origins"] {
            assert!(errors.of(field).is_some(), "{field} in {errors:?}");
        }
        assert!(errors.of("redirect_uris").unwrap().starts_with("Line 2 must be"), "{errors:?}");
        assert_eq!(errors.of("description"), None);
    }

    #[test]
    fn a_rule_about_a_field_is_shown_there_and_another_above_all() {
        let about = |problem: Problem| Errors::or_else::<()>(Err(problem)).unwrap().unwrap_err();
        let errors = about(domain::OAuthClientError::RedirectUrisUnused.into());
        assert!(errors.of("redirect_uris").unwrap().starts_with("These must be empty"), "{errors:?}");
        let errors = about(domain::OAuthClientError::SecretRequired.into());
        assert!(errors.general().is_some(), "{errors:?}");
        assert!(Errors::or_else::<()>(Err(Problem::forbidden("no"))).is_err());
    }
}
