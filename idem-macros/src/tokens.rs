//! Questions about raw tokens, and the text that stands for them in `idem.lock`.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;

/// The same tokens, all of them located at `span`.
///
/// An error inside of a string literal then underlines the literal and makes no suggestion to
/// replace it: offsets inside of a literal are not known to a macro.
pub(crate) fn located_at(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &token {
                token = TokenTree::Group(Group::new(
                    group.delimiter(),
                    located_at(group.stream(), span),
                ));
            }
            token.set_span(span);
            token
        })
        .collect()
}

/// Tokens as text that does not depend on how they were spaced: no blanks but between two words.
pub(crate) fn text(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write_text(tokens.into_token_stream(), &mut text);
    text
}

fn write_text(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write_text(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => text.push(punct.as_char()),
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if text.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '"'))
                {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
            }
        }
    }
}

/// Whether any token passes, those inside of groups included.
pub(crate) fn any(tokens: &TokenStream, test: &mut impl FnMut(&Near<'_>) -> bool) -> bool {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    (0..trees.len()).any(|at| {
        let near = Near::new(&trees, at);
        test(&near) || matches!(near.token(), TokenTree::Group(group) if any(&group.stream(), test))
    })
}

/// A token and its neighbours.
pub(crate) struct Near<'a> {
    trees: &'a [TokenTree],
    at: usize,
}

impl<'a> Near<'a> {
    pub(crate) fn new(trees: &'a [TokenTree], at: usize) -> Self {
        Self { trees, at }
    }
}

impl Near<'_> {
    pub(crate) fn token(&self) -> &TokenTree {
        &self.trees[self.at]
    }

    pub(crate) fn ident(&self) -> Option<&Ident> {
        match self.token() {
            TokenTree::Ident(ident) => Some(ident),
            _ => None,
        }
    }

    pub(crate) fn is_punct(&self, offset: isize, char: char) -> bool {
        matches!(self.get(offset), Some(TokenTree::Punct(punct)) if punct.as_char() == char)
    }

    pub(crate) fn get(&self, offset: isize) -> Option<&TokenTree> {
        self.trees.get(self.at.checked_add_signed(offset)?)
    }

    /// Preceded by `::`.
    pub(crate) fn in_path(&self) -> bool {
        self.is_punct(-1, ':') && self.is_punct(-2, ':')
    }

    /// Followed by `::`.
    pub(crate) fn opens_path(&self) -> bool {
        self.is_punct(1, ':') && self.is_punct(2, ':')
    }

    /// The name of a field or method: preceded by one `.`, not by the `..` of a range.
    pub(crate) fn is_member(&self) -> bool {
        self.is_punct(-1, '.') && !self.is_punct(-2, '.')
    }

    /// Followed by parentheses.
    pub(crate) fn is_called(&self) -> bool {
        matches!(self.get(1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
    }

    /// A value's name: neither a member nor part of a path.
    pub(crate) fn names_value(&self, name: &Ident) -> bool {
        self.ident().is_some_and(|ident| ident == name)
            && !self.is_member()
            && !self.in_path()
            && !self.opens_path()
    }
}

/// The first use of the variable `name`, as it was written.
pub(crate) fn variable(tokens: &TokenStream, name: &Ident) -> Option<Ident> {
    let mut found = None;
    any(tokens, &mut |near| {
        found = near.ident().filter(|_| near.names_value(name)).cloned();
        found.is_some()
    });
    found
}

/// The tokens with each `name` resolved as this one, wherever a macro took them from.
pub(crate) fn resolved_as(tokens: &TokenStream, name: &Ident) -> TokenStream {
    let resolved = tokens.clone().into_iter().map(|token| match token {
        TokenTree::Ident(mut ident) if ident == *name => {
            ident.set_span(name.span().located_at(ident.span()));
            TokenTree::Ident(ident)
        }
        TokenTree::Group(group) => {
            let mut resolved = Group::new(group.delimiter(), resolved_as(&group.stream(), name));
            resolved.set_span(group.span());
            TokenTree::Group(resolved)
        }
        other => other,
    });
    resolved.collect()
}

/// Whether `tokens` use the variable `name`, in the text of a format string too (`"{name}"`).
pub(crate) fn mentions(tokens: &TokenStream, name: &Ident) -> bool {
    any(tokens, &mut |near| match near.token() {
        TokenTree::Ident(_) => near.names_value(name),
        TokenTree::Literal(literal) => captures(&literal.to_string(), &name.to_string()),
        _ => false,
    })
}

fn captures(literal: &str, name: &str) -> bool {
    literal.starts_with('"')
        && literal
            .match_indices(&format!("{{{name}"))
            .any(|(at, opening)| {
                literal[at + opening.len()..].starts_with(['}', ':'])
                    && !literal[..at].ends_with('{')
            })
}

/// Whether the word stands anywhere in `tokens`.
pub(crate) fn contains_word(tokens: impl ToTokens, word: &str) -> bool {
    any(&tokens.into_token_stream(), &mut |near| {
        near.ident().is_some_and(|ident| ident == word)
    })
}

/// Whether the lifetime stands anywhere in `tokens`; `name` comes without its apostrophe.
pub(crate) fn contains_lifetime(tokens: impl ToTokens, name: &Ident) -> bool {
    any(&tokens.into_token_stream(), &mut |near| {
        near.is_punct(-1, '\'') && near.ident().is_some_and(|ident| ident == name)
    })
}

/// The same tokens with each of the lifetimes written as `'_`.
pub(crate) fn erase_lifetimes(tokens: TokenStream, names: &[Ident]) -> TokenStream {
    let mut after_apostrophe = false;
    tokens
        .into_iter()
        .map(|token| {
            let lifetime = std::mem::replace(
                &mut after_apostrophe,
                matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\''),
            );
            match token {
                TokenTree::Ident(ident) if lifetime && names.contains(&ident) => {
                    Ident::new("_", ident.span()).into()
                }
                TokenTree::Group(group) => {
                    let mut erased =
                        Group::new(group.delimiter(), erase_lifetimes(group.stream(), names));
                    erased.set_span(group.span());
                    erased.into()
                }
                other => other,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proc_macro2::{Ident, Span, TokenStream};

    use super::{erase_lifetimes, mentions, text};

    fn tokens(source: &str) -> TokenStream {
        source.parse().unwrap()
    }

    #[test]
    fn text_does_not_depend_on_spacing() {
        assert_eq!(
            text(tokens("( event . tenant ,event.id )")),
            "(event.tenant,event.id)"
        );
        assert_eq!(text(tokens("Cow<'a, str>")), "Cow<'a,str>");
        assert_eq!(text(tokens("& 'a  mut dyn   Any")), "&'a mut dyn Any");
        assert_eq!(
            text(tokens("format!( \"{} {}\" , a , b )")),
            "format!(\"{} {}\",a,b)"
        );
    }

    #[test]
    fn a_mention_is_a_value_not_a_member_or_a_path() {
        let event = Ident::new("event", Span::call_site());
        for source in [
            "event.id",
            "f(&event)",
            "format!(\"{event}\")",
            "format!(\"{event:?}\")",
            "0..event",
            "[event[0]]",
        ] {
            assert!(mentions(&tokens(source), &event), "{source}");
        }
        for source in [
            "other.event",
            "event::ID",
            "a::event",
            "format!(\"{{event}}\")",
            "\"event\"",
            "events",
        ] {
            assert!(!mentions(&tokens(source), &event), "{source}");
        }
    }

    #[test]
    fn only_the_named_lifetimes_are_erased() {
        let a = Ident::new("a", Span::call_site());
        let erased = erase_lifetimes(tokens("(&'a str, &'static a)"), &[a]);
        assert_eq!(text(erased), "(&'_ str,&'static a)");
    }
}
