//! The same few lines for every aggregate: `decide` and `apply` as `cqrs_es` wants them, and the
//! names of its events.

/// Makes an aggregate of a state with the methods `decide(&self, command)` and
/// `apply(&mut self, event)`, and gives each event its type `<stream type>.<tag>`.
///
/// The tags are what serde writes into `"type"`; `stored_as` in the tests compares the two.
macro_rules! aggregate {
    (
        $aggregate:ident = $stream:literal,
        $command:ident -> $event:ident | $error:ident,
        [$($variant:ident = $tag:literal),+ $(,)?]
    ) => {
        impl cqrs_es::Aggregate for $aggregate {
            const TYPE: &'static str = $stream;
            type Command = $command;
            type Event = $event;
            type Error = $error;
            type Services = ();

            async fn handle(
                &mut self,
                command: $command,
                _services: &(),
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), $error> {
                for event in self.decide(command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: $event) {
                // The inherent method, which comes before this one of the trait.
                $aggregate::apply(self, event);
            }
        }

        impl $event {
            /// The types of all events of this stream, as `event_type` answers them.
            pub const TYPES: &'static [&'static str] = &[$(concat!($stream, ".", $tag)),+];
        }

        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                match self {
                    $($event::$variant { .. } => concat!($stream, ".", $tag),)+
                }
                .to_owned()
            }

            fn event_version(&self) -> String {
                $crate::event::SCHEMA_VERSION.to_string()
            }
        }
    };
}

pub(crate) use aggregate;
