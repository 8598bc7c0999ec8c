//! The client portal: what members of an organization use and its administrators arrange.

pub(crate) mod apps;
pub(crate) mod connected_apps;
pub(crate) mod dashboard;
pub(crate) mod subscriptions;

use api::sign_in::Visitor;
use axum::response::Redirect;

use crate::page::Section;

/// The front door.
pub(crate) async fn start(Visitor(session): Visitor) -> Redirect {
    Redirect::to(if session.is_some() { Section::Dashboard.path() } else { "/sign-in" })
}

/// Cuts off what was fetched to learn whether there is a next page; answers the row that this one comes after.
pub(crate) fn cut<T>(rows: &mut Vec<T>, page: i64) -> Option<&T> {
    let page = usize::try_from(page).ok().filter(|page| rows.len() > *page)?;
    rows.truncate(page);
    rows.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_one_only_when_there_is_more() {
        let mut rows = vec![1, 2, 3];
        assert_eq!(cut(&mut rows, 3), None);
        assert_eq!(cut(&mut rows, 2), Some(&2));
        assert_eq!(rows, [1, 2]);
    }
}
