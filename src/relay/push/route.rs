//! Routes: what a method and a path ask for.
//!
//! ```text
//!   PUT /v1/groups/team%20a/members/alice
//!   |       |      |                |
//!   |       |      decoded once     decoded once: a name, or 400
//!   |       one table: template, methods
//!   another method: 405, with Allow
//! ```
//!
//! A path is split at its slashes first and decoded then, so `%2F` is a slash in a name and no end
//! of one.
//!
//! This module does not know who asks, or what is answered.

use std::borrow::Cow;

use super::failure::{Failure, Problem};
use crate::relay::name::Name;
use crate::wire::http::{Plus, percent_decode};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// Adds a member to a group.
    AddMember { group: Name<'a>, user: Name<'a> },
    /// Sends several messages.
    Batch,
    /// Tells about a group.
    Group(Name<'a>),
    /// Closes all connections of a user.
    Kick(Name<'a>),
    /// Whether the process answers.
    Livez,
    /// Sends a message.
    Message,
    /// The numbers, for Prometheus.
    Metrics,
    /// The description of this API.
    OpenApi,
    /// Whether the server takes work.
    Readyz,
    /// Ends a membership.
    RemoveMember { group: Name<'a>, user: Name<'a> },
    /// The numbers, in JSON.
    Stats,
    /// Tells about a user.
    User(Name<'a>),
}

/// Which path it is, with the names in it as they were sent; `Display` is not needed, the
/// [template](Place::template) is what is counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Batch,
    Connections(Cow<'a, [u8]>),
    Group(Cow<'a, [u8]>),
    Livez,
    Member(Cow<'a, [u8]>, Cow<'a, [u8]>),
    Messages,
    Metrics,
    OpenApi,
    Readyz,
    Stats,
    User(Cow<'a, [u8]>),
}

/// Whether a path is for those who have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// For them alone.
    Key,
    /// For everybody on this machine, too.
    Local,
}

impl<'a> Place<'a> {
    /// Finds what is on a path.
    ///
    /// # Errors
    ///
    /// [`Problem::InvalidEscape`], [`Problem::UnknownPath`].
    pub(super) fn find(path: &'a str) -> Result<Place<'a>, Failure> {
        let mut parts: [Cow<'a, [u8]>; SEGMENTS_MAX + 1] = Default::default();
        let mut len = 0;
        let unknown = Failure::from(Problem::UnknownPath);
        let segments = path.strip_prefix('/').ok_or_else(|| unknown.clone())?.split('/');
        for (part, segment) in parts.iter_mut().zip(segments) {
            *part = percent_decode(segment, Plus::Literal).ok_or(Problem::InvalidEscape)?;
            len += 1;
        }
        let take = |part: &mut Cow<'a, [u8]>| std::mem::take(part);
        let place = match &mut parts[..len] {
            [one] => match &**one {
                b"livez" => Place::Livez,
                b"metrics" => Place::Metrics,
                b"openapi.json" => Place::OpenApi,
                b"readyz" => Place::Readyz,
                _ => return Err(unknown),
            },
            [v1, rest @ ..] if **v1 == *b"v1" => match rest {
                [one] => match &**one {
                    b"messages" => Place::Messages,
                    b"messages:batch" => Place::Batch,
                    b"stats" => Place::Stats,
                    _ => return Err(unknown),
                },
                [users, user] if **users == *b"users" => Place::User(take(user)),
                [groups, group] if **groups == *b"groups" => Place::Group(take(group)),
                [users, user, last] if **users == *b"users" && **last == *b"connections" => {
                    Place::Connections(take(user))
                }
                [groups, group, members, user]
                    if **groups == *b"groups" && **members == *b"members" =>
                {
                    Place::Member(take(group), take(user))
                }
                _ => return Err(unknown),
            },
            _ => return Err(unknown),
        };
        Ok(place)
    }

    /// The path without the names in it, as the API's description has it. There are as many as
    /// there are kinds of places, so it is good as a label.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Place::Batch => "/v1/messages:batch",
            Place::Connections(_) => "/v1/users/{user}/connections",
            Place::Group(_) => "/v1/groups/{group}",
            Place::Livez => "/livez",
            Place::Member(..) => "/v1/groups/{group}/members/{user}",
            Place::Messages => "/v1/messages",
            Place::Metrics => "/metrics",
            Place::OpenApi => "/openapi.json",
            Place::Readyz => "/readyz",
            Place::Stats => "/v1/stats",
            Place::User(_) => "/v1/users/{user}",
        }
    }

    /// Who may ask.
    pub(super) fn guard(&self) -> Guard {
        match self {
            Place::Livez | Place::Metrics | Place::OpenApi | Place::Readyz => Guard::Local,
            _ => Guard::Key,
        }
    }

    /// What this method does here. Names have at most `name_max` bytes.
    ///
    /// # Errors
    ///
    /// [`Problem::MethodNotAllowed`], [`Problem::InvalidName`].
    pub(super) fn route(self, method: &str, name_max: usize) -> Result<Route<'a>, Failure> {
        let methods = match self {
            Place::Batch | Place::Messages => "POST",
            Place::Connections(_) => "DELETE",
            Place::Member(..) => "PUT, DELETE",
            _ => "GET, HEAD",
        };
        if !methods.split(", ").any(|allowed| allowed == method) {
            return Err(Failure::allowing(methods));
        }
        let name = |what, bytes| read_name(what, bytes, name_max);
        Ok(match self {
            Place::Batch => Route::Batch,
            Place::Connections(user) => Route::Kick(name("user", user)?),
            Place::Group(group) => Route::Group(name("group", group)?),
            Place::Livez => Route::Livez,
            Place::Member(group, user) => {
                let (group, user) = (name("group", group)?, name("user", user)?);
                match method {
                    "PUT" => Route::AddMember { group, user },
                    _ => Route::RemoveMember { group, user },
                }
            }
            Place::Messages => Route::Message,
            Place::Metrics => Route::Metrics,
            Place::OpenApi => Route::OpenApi,
            Place::Readyz => Route::Readyz,
            Place::Stats => Route::Stats,
            Place::User(user) => Route::User(name("user", user)?),
        })
    }
}

/// Reads decoded bytes as a name; `what` says whose.
pub(super) fn read_name<'a>(
    what: &'static str,
    bytes: Cow<'a, [u8]>,
    name_max: usize,
) -> Result<Name<'a>, Failure> {
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    let invalid = |why: String| Failure::saying(Problem::InvalidName, format!("{what}: {why}"));
    let text = text.ok_or_else(|| invalid("name is not UTF-8".to_owned()))?;
    Name::new(text, name_max).map_err(|error| invalid(error.to_string()))
}

/// No path here has more.
const SEGMENTS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Result<Route<'static>, (u16, Option<String>)> {
        let path: &'static str = path.to_owned().leak();
        let found = Place::find(path).and_then(|place| place.route(method, 128));
        found.map_err(|failure| {
            let response = failure.response();
            let mut head = Vec::new();
            response.write(&mut head, crate::wire::Body::HeadOnly);
            let head = String::from_utf8(head).unwrap();
            let allow = head.lines().find_map(|line| line.strip_prefix("Allow: "));
            (failure.problem.code(), allow.map(str::to_owned))
        })
    }

    fn name(text: &str) -> Name<'_> {
        Name::new(text, 128).unwrap()
    }

    #[test]
    fn every_path_has_its_methods_and_no_other() {
        let (group, user) = (name("g"), name("u"));
        let member = || (group.clone(), user.clone());
        let table = [
            ("GET", "/livez", Route::Livez),
            ("HEAD", "/readyz", Route::Readyz),
            ("GET", "/metrics", Route::Metrics),
            ("GET", "/openapi.json", Route::OpenApi),
            ("POST", "/v1/messages", Route::Message),
            ("POST", "/v1/messages:batch", Route::Batch),
            ("POST", "/v1/messages%3Abatch", Route::Batch),
            ("GET", "/v1/stats", Route::Stats),
            ("GET", "/v1/users/u", Route::User(user.clone())),
            ("DELETE", "/v1/users/u/connections", Route::Kick(user.clone())),
            ("GET", "/v1/groups/g", Route::Group(group.clone())),
            (
                "PUT",
                "/v1/groups/g/members/u",
                Route::AddMember { group: member().0, user: member().1 },
            ),
            (
                "DELETE",
                "/v1/groups/g/members/u",
                Route::RemoveMember { group: member().0, user: member().1 },
            ),
        ];
        for (method, path, wanted) in table {
            assert_eq!(route(method, path), Ok(wanted), "{method} {path}");
            for other in ["PATCH", "OPTIONS", "TRACE", "get"] {
                let (code, allow) = route(other, path).unwrap_err();
                assert_eq!(code, 405, "{other} {path}");
                assert!(allow.unwrap().split(", ").any(|allowed| allowed == method), "{path}");
            }
        }
        for path in [
            "/",
            "*",
            "/v1",
            "/v1/",
            "/v2/stats",
            "/livez/",
            "/Livez",
            "//livez",
            "/v1/users",
            "/v1/users/a/b",
            "/v1/groups/g/members",
            "/v1/groups/g/members/u/x",
            "/v1/groups/g/members/u/x/y/z",
            "/v1/messages/x",
            "/v1/users/u/connections/",
        ] {
            assert_eq!(route("GET", path), Err((404, None)), "{path}");
        }
    }

    #[test]
    fn segments_are_decoded_once_and_have_to_be_names() {
        let user = |path: &str| route("GET", path);
        assert_eq!(user("/v1/users/a%2Fb"), Ok(Route::User(name("a/b"))));
        assert_eq!(user("/v1/users/a+b%20c"), Ok(Route::User(name("a+b c"))));
        assert_eq!(user("/v1/users/%E7%94%A8"), Ok(Route::User(name("用"))));
        assert_eq!(user("/v1/users/%2541"), Ok(Route::User(name("%41"))));
        for bad in ["", "%", "%4", "%GG", "%00", "%FF", "*", "%2A", "%20a", "a%E2%80%AE"] {
            assert_eq!(user(&format!("/v1/users/{bad}")), Err((400, None)), "{bad}");
        }
        assert!(user(&format!("/v1/users/{}", "a".repeat(128))).is_ok());
        assert_eq!(user(&format!("/v1/users/{}", "a".repeat(129))), Err((400, None)));
    }
}
