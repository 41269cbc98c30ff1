#[automatically_derived]
impl<T> ::idem_runtime::Key for OrderId<T>
where
    T: ::idem_runtime::Key,
{
    fn name() -> ::std::string::String {
        <T as ::idem_runtime::Key>::name()
    }
    fn write(&self, out: &mut ::idem_runtime::KeyWriter) {
        <T as ::idem_runtime::Key>::write(&self.0, out)
    }
}
