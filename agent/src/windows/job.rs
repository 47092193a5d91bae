//! One program in a job object: no child leaves it, its memory and processes are bounded, and all of it ends
//! with the job. What a service, a scheduled task or WMI starts at a script's wish is a child of theirs, and outside.

use std::ffi::c_void;
use std::io::{self, PipeWriter};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    HANDLE, HANDLE_FLAG_INHERIT, SetHandleInformation, WAIT_FAILED, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_ACTIVE_PROCESS, JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION,
    JOB_OBJECT_LIMIT_JOB_MEMORY, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOB_OBJECT_UILIMIT_DESKTOP,
    JOB_OBJECT_UILIMIT_EXITWINDOWS, JOB_OBJECT_UILIMIT_HANDLES, JOB_OBJECT_UILIMIT_READCLIPBOARD,
    JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS, JOB_OBJECT_UILIMIT_WRITECLIPBOARD,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_UI_RESTRICTIONS,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation, JobObjectBasicUIRestrictions,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_UNICODE_ENVIRONMENT, CreateEventW, CreateProcessW,
    DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, GetExitCodeProcess,
    InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
    PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_INFORMATION, STARTF_USESTDHANDLES, STARTUPINFOEXW, SetEvent,
    UpdateProcThreadAttribute, WaitForMultipleObjects,
};

use super::{ok, wide};

/// What all processes of a job may take together.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub memory: u64,
    pub processes: u32,
}

/// One job object; when it is dropped all its processes end.
pub struct Job {
    handle: OwnedHandle,
    /// Whether desktop, clipboard and log-off are out of its reach too.
    pub no_desktop: bool,
}

/// What a job's processes took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu: Duration,
    pub peak_memory: u64,
}

impl Job {
    /// # Errors
    /// It cannot be made or bounded: then nothing may run.
    pub fn new(bounds: Bounds) -> io::Result<Self> {
        // SAFETY: no name, no attributes; the handle is checked.
        let handle = unsafe { owned(CreateJobObjectW(null(), null())) }?;
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        // Neither breakaway flag: what a script starts stays in.
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
            | JOB_OBJECT_LIMIT_ACTIVE_PROCESS
            | JOB_OBJECT_LIMIT_JOB_MEMORY
            | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
        limits.BasicLimitInformation.ActiveProcessLimit = bounds.processes;
        limits.JobMemoryLimit = usize::try_from(bounds.memory).unwrap_or(usize::MAX);
        set(&handle, JobObjectExtendedLimitInformation, &limits)?;
        let desktop = JOBOBJECT_BASIC_UI_RESTRICTIONS {
            UIRestrictionsClass: JOB_OBJECT_UILIMIT_DESKTOP
                | JOB_OBJECT_UILIMIT_EXITWINDOWS
                | JOB_OBJECT_UILIMIT_HANDLES
                | JOB_OBJECT_UILIMIT_READCLIPBOARD
                | JOB_OBJECT_UILIMIT_WRITECLIPBOARD
                | JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS,
        };
        let no_desktop = set(&handle, JobObjectBasicUIRestrictions, &desktop).is_ok();
        Ok(Self { handle, no_desktop })
    }

    /// Ends every process of it.
    pub fn end(&self) {
        // SAFETY: the handle is open. A job without processes has nothing to end.
        unsafe { TerminateJobObject(self.handle.as_raw_handle(), 1) };
    }

    /// As far as it can be told: it is for the report alone.
    pub fn usage(&self) -> Usage {
        let accounts: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION =
            query(&self.handle, JobObjectBasicAccountingInformation).unwrap_or_default();
        let limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION =
            query(&self.handle, JobObjectExtendedLimitInformation).unwrap_or_default();
        // In units of 100 ns.
        let cpu = (accounts.TotalUserTime + accounts.TotalKernelTime).cast_unsigned();
        Usage {
            cpu: Duration::from_nanos(cpu.saturating_mul(100)),
            peak_memory: limits.PeakJobMemoryUsed as u64,
        }
    }

    /// Ends every process and waits until none is left.
    ///
    /// # Errors
    /// Some did not end in time, or it cannot be told whether any is left.
    pub fn end_within(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            self.end();
            let accounts: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION =
                query(&self.handle, JobObjectBasicAccountingInformation)?;
            if accounts.ActiveProcesses == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn set<T>(job: &OwnedHandle, class: i32, information: &T) -> io::Result<()> {
    let len = u32::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: the class goes with the type, whose size is given.
    ok(unsafe { SetInformationJobObject(job.as_raw_handle(), class, (&raw const *information).cast(), len) })
}

fn query<T: Default>(job: &OwnedHandle, class: i32) -> io::Result<T> {
    let len = u32::try_from(size_of::<T>()).unwrap_or_default();
    let mut information = T::default();
    // SAFETY: the class goes with the type, whose size is given.
    ok(unsafe {
        QueryInformationJobObject(job.as_raw_handle(), class, (&raw mut information).cast(), len, null_mut())
    })?;
    Ok(information)
}

/// An event that ends a wait from another thread. Clones are one event.
#[derive(Clone)]
pub struct Signal(Arc<OwnedHandle>);

impl Signal {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no name, no attributes; it stays signalled once it is.
        Ok(Self(Arc::new(unsafe { owned(CreateEventW(null(), 1, 0, null())) }?)))
    }

    pub fn give(&self) {
        // SAFETY: the handle is open.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }
}

/// What a program is started with.
pub struct Start<'a> {
    /// As CommandLineToArgvW reads it.
    pub command_line: &'a str,
    pub program: &'a Path,
    pub folder: &'a Path,
    /// All of its environment.
    pub environment: &'a [(String, String)],
    pub stdin: &'a std::fs::File,
    pub stdout: &'a PipeWriter,
    pub stderr: &'a PipeWriter,
}

/// A program that runs in a job.
pub struct Process(OwnedHandle);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with its exit code.
    Code(i32),
    Signalled,
    TimedOut,
}

impl Process {
    /// Born into the job: there is no moment in which it is outside. Of our handles it inherits the three.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(job: &Job, start: &Start<'_>) -> io::Result<Self> {
        let handles =
            [start.stdin.as_raw_handle(), start.stdout.as_raw_handle(), start.stderr.as_raw_handle()];
        for handle in handles {
            // SAFETY: the handle is open.
            ok(unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) })?;
        }
        let jobs = [job.handle.as_raw_handle()];
        let mut attributes = Attributes::new(2)?;
        attributes.add(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
        attributes.add(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &handles)?;
        let mut info = STARTUPINFOEXW::default();
        info.StartupInfo.cb = u32::try_from(size_of::<STARTUPINFOEXW>()).unwrap_or_default();
        info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        [info.StartupInfo.hStdInput, info.StartupInfo.hStdOutput, info.StartupInfo.hStdError] = handles;
        info.lpAttributeList = attributes.list();
        let mut line = wide(start.command_line);
        let environment = block(start.environment);
        let mut made = PROCESS_INFORMATION::default();
        // SAFETY: every text ends with a NUL, the environment with two; the attributes outlive the call.
        ok(unsafe {
            CreateProcessW(
                wide(start.program).as_ptr(),
                line.as_mut_ptr(),
                null(),
                null(),
                1,
                EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT | CREATE_NO_WINDOW,
                environment.as_ptr().cast(),
                wide(start.folder).as_ptr(),
                &raw const info.StartupInfo,
                &raw mut made,
            )
        })?;
        // SAFETY: both handles are ours since the call succeeded.
        let process = unsafe {
            drop(OwnedHandle::from_raw_handle(made.hThread));
            OwnedHandle::from_raw_handle(made.hProcess)
        };
        Ok(Self(process))
    }

    /// Waits for its end, for `signal`, or until `deadline`.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn wait(&self, signal: &Signal, deadline: Instant) -> io::Result<End> {
        let handles: [HANDLE; 2] = [self.0.as_raw_handle(), signal.0.as_raw_handle()];
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        // Below INFINITE.
        let left = u32::try_from(left).unwrap_or(u32::MAX - 1);
        // SAFETY: both handles are open.
        match unsafe { WaitForMultipleObjects(2, handles.as_ptr(), 0, left) } {
            WAIT_OBJECT_0 => {
                let mut code = 0;
                // SAFETY: the handle is open.
                ok(unsafe { GetExitCodeProcess(handles[0], &raw mut code) })?;
                Ok(End::Code(code.cast_signed()))
            }
            WAIT_FAILED => Err(io::Error::last_os_error()),
            woken if woken == WAIT_OBJECT_0 + 1 => Ok(End::Signalled),
            _ => Ok(End::TimedOut),
        }
    }
}

/// `NAME=VALUE` each with its NUL, sorted as Windows wants them, and a NUL at the end.
fn block(environment: &[(String, String)]) -> Vec<u16> {
    let mut all: Vec<_> = environment.iter().collect();
    all.sort_by_key(|(name, _)| name.to_uppercase());
    let mut block: Vec<u16> = all.iter().flat_map(|(name, value)| wide(format!("{name}={value}"))).collect();
    block.push(0);
    block
}

/// What a new process is given besides; what it points to must outlive it.
struct Attributes(Vec<usize>);

impl Attributes {
    fn new(count: u32) -> io::Result<Self> {
        let mut len = 0;
        // SAFETY: without a list the call only tells how long one is.
        unsafe { InitializeProcThreadAttributeList(null_mut(), count, 0, &raw mut len) };
        // Words, so that it is aligned.
        let mut made = Self(vec![0; len.div_ceil(size_of::<usize>())]);
        // SAFETY: the room is as long as it was asked for.
        ok(unsafe { InitializeProcThreadAttributeList(made.list(), count, 0, &raw mut len) })?;
        Ok(made)
    }

    fn list(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.0.as_mut_ptr().cast()
    }

    fn add(&mut self, attribute: u32, handles: &[HANDLE]) -> io::Result<()> {
        let (value, len): (*const c_void, usize) = (handles.as_ptr().cast(), size_of_val(handles));
        // SAFETY: the list was initialised, and the caller keeps the handles until the process is made.
        ok(unsafe {
            UpdateProcThreadAttribute(self.list(), 0, attribute as usize, value, len, null_mut(), null())
        })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`.
        unsafe { DeleteProcThreadAttributeList(self.list()) };
    }
}

/// # Safety
/// The handle is null or ours.
unsafe fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
