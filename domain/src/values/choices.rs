//! Values that are one of a few words.

/// Defines a value that is one of a few words; an error lists them all.
macro_rules! choices {
    (
        $(#[$doc:meta])*
        $name:ident: $field:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order in which they are listed to people.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::values::InvalidValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err($crate::values::InvalidValue {
                        field: $field,
                        reason: format!("must be one of {}", [$($text),+].join(", ")),
                    }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::values::InvalidValue;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for &'static str {
            fn from(choice: $name) -> Self {
                choice.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use choices;

choices! {
    /// Who sees an app and may install it (R184).
    Visibility: "visibility" {
        Public = "public",
        Private = "private",
    }
}

choices! {
    /// How often a subscription is paid (R214).
    BillingCycle: "billing_cycle" {
        Monthly = "monthly",
        Yearly = "yearly",
    }
}

choices! {
    /// Where a subscription stands (R214).
    SubscriptionStatus: "status" {
        Active = "active",
        Trial = "trial",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

choices! {
    /// What kind of program a client is; fixes its grants, secret and PKCE rules (R135).
    ClientType: "client_type" {
        /// Runs in a browser, keeps no secret.
        Spa = "spa",
        /// Runs on a server and signs people in.
        Web = "web",
        /// Runs on a person's device, keeps no secret.
        Native = "native",
        /// Runs on a server, for itself.
        M2m = "m2m",
    }
}

impl ClientType {
    /// Whether it can keep a secret, and therefore has one (RFC 6749 §2.1).
    pub fn is_confidential(self) -> bool {
        matches!(self, Self::Web | Self::M2m)
    }
}

choices! {
    /// How a client proves who it is at the token endpoint (OpenID Connect Core §9).
    ClientAuthMethod: "token_endpoint_auth_method" {
        ClientSecretPost = "client_secret_post",
        ClientSecretBasic = "client_secret_basic",
        PrivateKeyJwt = "private_key_jwt",
        None = "none",
    }
}

choices! {
    /// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
    SigningAlgorithm: "id_token_signed_response_alg" {
        Rs256 = "RS256",
        Es256 = "ES256",
        EdDsa = "EdDSA",
    }
}

/// What every client can verify (OpenID Connect Core §15.1).
impl Default for SigningAlgorithm {
    fn default() -> Self {
        Self::Rs256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_its_word() {
        for cycle in BillingCycle::ALL {
            assert_eq!(cycle.as_str().parse(), Ok(*cycle));
            let json = serde_json::to_string(cycle).unwrap();
            assert_eq!(json, format!("\"{cycle}\""));
            assert_eq!(serde_json::from_str::<BillingCycle>(&json).unwrap(), *cycle);
        }
    }

    #[test]
    fn the_error_names_the_field_and_lists_the_words() {
        let error = "paused".parse::<SubscriptionStatus>().unwrap_err();
        assert_eq!(error.to_string(), "status must be one of active, trial, cancelled, expired");
        let error = serde_json::from_str::<Visibility>("\"Public\"").unwrap_err();
        assert!(error.to_string().contains("public, private"), "{error}");
    }

    #[test]
    fn only_servers_keep_secrets() {
        let confidential: Vec<_> = ClientType::ALL.iter().filter(|kind| kind.is_confidential()).collect();
        assert_eq!(confidential, [&ClientType::Web, &ClientType::M2m]);
    }
}
