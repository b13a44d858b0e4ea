//! The operator's own templates.

use canopy_sdk::prelude::*;

/// One rule: a pattern for whole paths and the template of those it matches.
#[config]
#[derive(Clone, Debug)]
pub struct RuleConfig {
    /// The pattern, segment by segment: `:name` matches any one segment, `*`
    /// too, and a `*` at the end one or more. Others match themselves.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The template; by default the pattern. `{name}` in it stands for what
    /// `:name` matched.
    #[serde(default)]
    pub template: Option<String>,
}

/// A rule ready to be applied.
#[derive(Debug)]
pub struct Rule {
    segments: Vec<Segment>,
    /// Whether the pattern ends with `*`.
    open: bool,
    template: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// What the segment of this number matched.
    Matched(usize),
}

/// Compiles the rules of a configuration.
///
/// # Errors
///
/// [`Error::Config`] with the key of the pattern or template at fault.
pub fn compile(rules: &[RuleConfig]) -> Result<Vec<Rule>, Error> {
    rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            Rule::new(rule)
                .map_err(|(key, message)| Error::config(format!("rules.{index}.{key}"), message))
        })
        .collect()
}

impl Rule {
    fn new(config: &RuleConfig) -> Result<Self, (&'static str, String)> {
        let Some(pattern) = config.pattern.strip_prefix('/') else {
            return Err(("match", "a pattern starts with `/`".to_owned()));
        };
        let mut names: Vec<&str> = pattern.split('/').collect();
        let open = names.last() == Some(&"*");
        if open {
            names.pop();
        }
        let segments = names
            .iter()
            .map(|name| match *name {
                "*" => Ok(Segment::Any),
                ":" => Err(("match", "`:` needs a name".to_owned())),
                _ if name.starts_with(':') => Ok(Segment::Any),
                literal => Ok(Segment::Literal(literal.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        let template = match &config.template {
            Some(template) => pieces(template, &names).map_err(|message| ("template", message))?,
            None => vec![Piece::Literal(config.pattern.clone())],
        };
        Ok(Rule {
            segments,
            open,
            template,
        })
    }

    /// Appends the template to `out` if the pattern matches `path`. Says
    /// whether it does.
    pub fn apply(&self, path: &str, out: &mut Text) -> bool {
        if !self.matches(path) {
            return false;
        }
        for piece in &self.template {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Matched(segment) => {
                    out.push_str(segments(path).nth(*segment).unwrap_or(""));
                }
            }
        }
        true
    }

    fn matches(&self, path: &str) -> bool {
        let mut given = segments(path);
        for segment in &self.segments {
            match (segment, given.next()) {
                (Segment::Literal(literal), Some(given)) if literal == given => {}
                (Segment::Any, Some(given)) if !given.is_empty() => {}
                _ => return false,
            }
        }
        given.next().is_some() == self.open
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// Splits a template at its `{name}`s; `names` are the pattern's segments.
fn pieces(template: &str, names: &[&str]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| "`{` has no `}`".to_owned())?;
        let segment = names
            .iter()
            .position(|segment| segment.strip_prefix(':') == Some(name))
            .ok_or_else(|| format!("`{{{name}}}` is not in the pattern: it has no `:{name}`"))?;
        pieces.push(Piece::Literal(literal.to_owned()));
        pieces.push(Piece::Matched(segment));
        rest = after;
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Ok(pieces)
}
