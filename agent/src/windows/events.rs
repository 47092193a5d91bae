//! The application event log: a line of ours becomes an event of the source `aright-agent`.
//!
//! The source's messages are those of Windows' own EventCreate.exe, whose numbers 1 to 1000 all read `%1`.

use std::ptr::{null, null_mut};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::EventLog::{
    EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW, ReportEventW,
};

use super::wide;

/// As it is named in the event log.
pub const SOURCE: &str = "aright-agent";

/// Longest text of one event, in units of UTF-16 (ReportEventW allows 31,839).
const MOST: usize = 30_000;

pub struct EventLog(HANDLE);

// SAFETY: the handle may be used from any thread (ReportEventW says nothing else, and locks by itself).
unsafe impl Send for EventLog {}
// SAFETY: as above.
unsafe impl Sync for EventLog {}

impl EventLog {
    /// `None` where there is no event log.
    pub fn open() -> Option<Self> {
        // SAFETY: the name ends with a NUL; null means this machine.
        let handle = unsafe { RegisterEventSourceW(null(), wide(SOURCE).as_ptr()) };
        (!handle.is_null()).then_some(Self(handle))
    }

    fn report(&self, level: Level, text: &str) {
        let kind = match level {
            Level::ERROR => EVENTLOG_ERROR_TYPE,
            Level::WARN => EVENTLOG_WARNING_TYPE,
            _ => EVENTLOG_INFORMATION_TYPE,
        };
        let text: Vec<u16> = text.encode_utf16().take(MOST).chain([0]).collect();
        let texts = [text.as_ptr()];
        // SAFETY: the handle is open as long as `self`, the one text ends with a NUL. A full log is no reason to stop.
        unsafe { ReportEventW(self.0, kind, 0, 1, null_mut(), 1, 0, texts.as_ptr(), null()) };
    }
}

impl<S: Subscriber> Layer<S> for EventLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.report(*event.metadata().level(), &format!("{}{}", line.message, line.fields));
    }
}

/// The message, and the fields as ` name=value`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}
