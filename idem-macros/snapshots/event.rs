#[automatically_derived]
impl ::idem_runtime::Event for OrderPlaced {
    const TOPIC: &'static ::core::primitive::str = "orders.placed";
    const TYPE: &'static ::core::primitive::str = "Placed";
    const ORDERING_KEY: &'static ::core::primitive::str = "(tenant,order.id)";
    fn ordering_key(&self) -> ::core::option::Option<::idem_runtime::OrderingKey> {
        ::core::option::Option::Some(
            ::idem_runtime::__private::ordering_key(&(&(self.tenant), &(self.order.id))),
        )
    }
}
