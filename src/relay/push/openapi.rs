//! The description of the API for programs: OpenAPI 3.1, one file inside the binary.
//!
//! ```text
//!   GET /openapi.json   200, `openapi.json` as it lies beside this file
//! ```
//!
//! The tests below hold it to the tables of the source: every path, method and reason is in it,
//! and nothing else is. `tests/push` holds the server to it.

use crate::wire::Response;

/// The description.
pub(super) fn respond() -> Response {
    Response::new(200, "application/json", OPENAPI.as_bytes())
        .with_header("Cache-Control", b"no-cache".as_slice())
}

const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::push::failure::Problem;
    use crate::relay::push::route::Place;
    use serde_json::Value;

    fn description() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    #[test]
    fn it_describes_every_path_and_method_and_nothing_else() {
        let description = description();
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
        let paths = description["paths"].as_object().unwrap();
        for (path, methods) in paths {
            let example: &'static str = path.replace(['{', '}'], "").leak();
            let place = Place::find(example).unwrap();
            assert_eq!(place.template(), path);
            for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
                let place = Place::find(example).unwrap();
                let described = methods.get(method.to_lowercase()).is_some();
                assert_eq!(place.route(method, 128).is_ok(), described, "{method} {path}");
            }
        }
        let source = include_str!("route.rs");
        let templates = source.lines().filter_map(|line| line.trim().split_once("=> \"/"));
        let templates: Vec<_> = templates.collect();
        assert_eq!(templates.len(), paths.len());
        for (_, template) in templates {
            let template = format!("/{}", template.trim_end_matches("\","));
            assert!(paths.contains_key(&template), "{template}");
        }
    }

    #[test]
    fn it_lists_every_reason_with_its_status() {
        let description = description();
        let schema = &description["components"]["schemas"]["Error"];
        let reasons = &schema["properties"]["error"]["properties"]["reason"]["enum"];
        let listed: Vec<&str> =
            reasons.as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
        let known: Vec<&str> = Problem::ALL.iter().map(|problem| problem.reason()).collect();
        assert_eq!(listed, known);
        for problem in Problem::ALL {
            let (code, reason) = (problem.code(), format!("`{}`", problem.reason()));
            let mut described = answers(&description).filter(|(_, text)| text.contains(&reason));
            assert!(described.all(|(status, _)| status == code), "{problem:?}");
            let told = answers(&description).any(|(_, text)| text.contains(&reason));
            // What is on no path has no place in a list of paths.
            assert!(told || *problem == Problem::UnknownPath, "{problem:?}");
        }
    }

    /// Status and text of every answer to every operation.
    fn answers(description: &Value) -> impl Iterator<Item = (u16, &str)> {
        let paths = description["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|path| path.as_object().unwrap().values());
        let answers = operations.filter_map(|operation| operation.get("responses")?.as_object());
        answers.flatten().map(|(status, answer)| {
            let name = answer["$ref"].as_str().and_then(|place| place.rsplit('/').next());
            let answer = name.map_or(answer, |name| &description["components"]["responses"][name]);
            (status.parse().unwrap(), answer["description"].as_str().unwrap())
        })
    }
}
