//! Drives the transformation of a function: read, check, expand.

use proc_macro2::{Span, TokenStream};

use crate::attr::{Args, Macro};
use crate::errors::Errors;
use crate::function::{Attributes, Function};
use crate::{check, expand};

// Input:  #[idempotent(..)] #[outbox] async fn f(tx: &mut C, ..) -> Result<T, E> { .. }
// Output: async fn f(tx: impl Begin<C>, ..) -> Result<Outcome<T>, Error<E>> { .. }
pub(crate) fn transform(attribute: Macro, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::read(attribute, args, Span::call_site(), &mut errors);
    let mut function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(check::item(attribute, &item).unwrap_or(error));
            let mut tokens = errors.into_tokens();
            tokens.extend(item);
            return tokens;
        }
    };
    let attributes = collect(attribute, args, &mut function, &mut errors);
    match check::handler(&function, attributes, &mut errors) {
        Some((shape, outline, terms)) if errors.is_empty() => {
            expand::wrapped(&shape, &outline, &terms)
        }
        Some((shape, outline, _)) => expand::fallback(&shape, &outline, errors),
        None => expand::refused(&function, errors),
    }
}

/// Takes the other attribute of this crate from the function, whichever of the two stands first.
fn collect(
    attribute: Macro,
    args: Args,
    function: &mut Function,
    errors: &mut Errors,
) -> Attributes {
    let mut found = match attribute {
        Macro::Idempotent => Attributes {
            idempotent: Some(args),
            outbox: None,
        },
        _ => Attributes {
            idempotent: None,
            outbox: Some(args),
        },
    };
    let (ours, others) = std::mem::take(&mut function.attrs)
        .into_iter()
        .partition::<Vec<_>, _>(|attr| Macro::Idempotent.is(attr) || Macro::Outbox.is(attr));
    function.attrs = others;
    for attr in ours {
        let (other, slot) = if Macro::Idempotent.is(&attr) {
            (Macro::Idempotent, &mut found.idempotent)
        } else {
            (Macro::Outbox, &mut found.outbox)
        };
        function.absorbed = Some(attr.path().clone());
        if slot.is_some() {
            errors.on(
                &attr,
                format!(
                    "`{}` stands twice on one function; keep one",
                    other.display()
                ),
            );
        } else {
            *slot = Some(Args::of_attribute(other, &attr, errors));
        }
    }
    found
}
