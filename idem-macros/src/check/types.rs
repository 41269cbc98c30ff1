//! Types as they are written: what stands inside of groups and references, their last segment and
//! its arguments.

use syn::{GenericArgument, Path, PathArguments, PathSegment, Type};

/// Looks through the invisible delimiters that `macro_rules!` puts around a type, and through
/// parentheses.
pub(super) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// What a reference points to; any other type as it is.
pub(super) fn pointee(ty: &Type) -> &Type {
    match ungrouped(ty) {
        Type::Reference(reference) => ungrouped(&reference.elem),
        other => other,
    }
}

pub(super) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ungrouped(ty) {
        Type::Path(path) => last_of(&path.path),
        _ => None,
    }
}

fn last_of(path: &Path) -> Option<&PathSegment> {
    path.segments.last()
}

pub(super) fn is_path_to(ty: &Type, names: &[&str]) -> bool {
    last_segment(ty).is_some_and(|segment| names.iter().any(|name| segment.ident == name))
}

/// The types between `<` and `>`.
pub(super) fn type_arguments(segment: &PathSegment) -> Option<Vec<&Type>> {
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(
            arguments
                .args
                .iter()
                .filter_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                })
                .collect(),
        ),
        _ => None,
    }
}
