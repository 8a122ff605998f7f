//! What an aggregate that wraps another says of itself: what the other says.

/// The methods of an `AggregateUDFImpl` with a field `inner` in which the two do not differ.
macro_rules! as_inner {
    () => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }

        fn signature(&self) -> &Signature {
            self.inner.signature()
        }

        fn return_type(&self, types: &[DataType]) -> Result<DataType> {
            self.inner.return_type(types)
        }

        fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
            self.inner.return_field(fields)
        }

        fn is_nullable(&self) -> bool {
            self.inner.is_nullable()
        }

        fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
            self.inner.state_fields(args)
        }

        fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
            self.inner.coerce_types(types)
        }
    };
}

pub(super) use as_inner;
