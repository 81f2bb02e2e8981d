//! What a plan says to the policies, in their own terms.

use super::cookies::Jar;
use super::extract::{Extract, JsonCheck};
use super::line::{Field, Fields};
use super::robots::Robots;
use super::save_name::SaveAs;
use crate::plan::request::HeaderEdit;
use crate::plan::{Fetch, Plan, PlanError};

/// What is asked of records and bodies, and what hosts are asked for.
#[derive(Debug)]
pub struct Policies {
    /// Of each record.
    pub(super) fields: Fields,
    pub(super) save_as: SaveAs,
    pub(super) extract: Option<Extract>,
    pub(super) checks: Vec<JsonCheck>,
    /// `None` where nobody asks for robots.txt.
    pub(super) robots: Option<Robots>,
    /// `None` where cookies are neither kept nor sent.
    pub(super) jar: Option<Jar>,
}

impl Policies {
    /// Those of `plan`, with the text of its jar of cookies, where there is one.
    ///
    /// # Errors
    /// The first option that makes no sense, with the remedy.
    pub fn new(plan: &Plan, cookies: Option<&str>) -> Result<Self, PlanError> {
        let fetch = plan.fetch.as_deref().expect("only what is fetched comes here");
        let said = &fetch.said;
        let refused = |option: &'static str| move |problem| PlanError::new(option, problem);
        let extract = said.extract.as_deref().map(Extract::parse).transpose().map_err(refused("--extract"))?;
        let check = |text: &String| JsonCheck::parse(text).map_err(refused("--json-check"));
        let save_as = said.save_as.as_deref().map(SaveAs::parse).transpose().map_err(refused("--save-as"))?;
        let mut jar = said.keeps_cookies.then(Jar::default);
        if let Some((jar, text)) = jar.as_mut().zip(cookies) {
            jar.read(text).map_err(refused("--cookie-jar"))?;
        }
        Ok(Self {
            fields: fields(fetch, extract.is_some()).map_err(refused("--fields"))?,
            save_as: save_as.unwrap_or_default(),
            extract,
            checks: said.json_checks.iter().map(check).collect::<Result<_, _>>()?,
            robots: (!said.no_robots).then(|| Robots::new(&user_agent(plan))),
            jar,
        })
    }

    /// Whether bodies are looked into.
    pub(super) fn reads_bodies(&self) -> bool {
        self.extract.is_some() || !self.checks.is_empty()
    }
}

/// Those that were chosen, or else all that there is something to say in.
fn fields(fetch: &Fetch, extracts: bool) -> Result<Fields, String> {
    if let Some(text) = &fetch.said.fields {
        return Fields::parse(text);
    }
    let extra = [
        (fetch.output.sha256, Field::Sha256),
        (extracts, Field::Extracted),
        (fetch.output.body_in_json.is_some(), Field::Body),
    ];
    let asked = extra.into_iter().filter(|(asked, _)| *asked).map(|(_, field)| field);
    Ok(asked.fold(Fields::standard(), Fields::with))
}

/// As which we name ourselves.
fn user_agent(plan: &Plan) -> String {
    let named = plan.common.edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set(header) if header.name.eq_ignore_ascii_case("user-agent") => Some(header.value.clone()),
        _ => None,
    });
    named.unwrap_or_else(|| "ringload".to_owned())
}
