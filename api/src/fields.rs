//! What a caller sends in paths, queries and forms; what cannot be read is answered like every other error.

use axum::extract::rejection::{FormRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::Problem;

/// The fields of an address.
pub struct Query<T>(pub T);

/// The ids in a path; one that cannot be an id names nothing.
pub struct Path<T>(pub T);

/// The fields of a form.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // PostgreSQL compares no text with it.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(unusable(StatusCode::BAD_REQUEST, "query", "NUL is no text"));
        }
        let refused = |why: QueryRejection| unusable(why.status(), "query", &why.body_text());
        axum::extract::Query::from_request_parts(parts, state).await.map(|query| Self(query.0)).map_err(refused)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |why: PathRejection| unusable(StatusCode::NOT_FOUND, "path", &why.body_text());
        axum::extract::Path::from_request_parts(parts, state).await.map(|path| Self(path.0)).map_err(refused)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let refused = |why: FormRejection| unusable(why.status(), "form", &why.body_text());
        axum::Form::from_request(request, state).await.map(|form| Self(form.0)).map_err(refused)
    }
}

/// `why` begins with what the extractor was doing, which says nothing to people.
fn unusable(status: StatusCode, what: &str, why: &str) -> Problem {
    let cause = why.split_once(": ").map_or(why, |(_, cause)| cause);
    Problem::new(status, format!("invalid_{what}"), format!("this {what} cannot be used: {cause}"))
}
