//! Parses the kernel and holds handlers to their contract.

use super::error::{Declaration, KernelError, Place};
use super::handler::Handler;
use super::loops::{LoopCounter, Loops};
use super::source::Source;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Block, Expression, Function, Handle, Module, Span, Statement, Type};

/// A kernel with one user file, to check that file by itself.
pub(crate) struct File<'a> {
    source: &'a Source,
    module: Module,
    name: &'a str,
}

impl<'a> File<'a> {
    pub(crate) fn parse(source: &'a Source, name: &'a str) -> Result<Self, KernelError> {
        let (module, _) = parse(source).map_err(|error| hidden(error, source))?;
        let file = Self { source, module, name };
        file.check_declarations()?;
        file.check_functions()?;
        Ok(file)
    }

    fn check_declarations(&self) -> Result<(), KernelError> {
        let declares = |span, name: &Option<String>, declaration| {
            let name = name.clone().unwrap_or_default();
            KernelError::Declares { place: self.place(span), declaration, name }
        };
        for entry in &self.module.entry_points {
            if !super::Kernel::ENTRIES.contains(&entry.name.as_str()) {
                let span = self.source.find_declared(&entry.name);
                let name = Some(entry.name.clone());
                return Err(declares(span, &name, Declaration::EntryPoint));
            }
        }
        for (handle, variable) in self.module.global_variables.iter() {
            let span = self.module.global_variables.get_span(handle);
            if !self.source.is_user(span) {
                continue;
            }
            if variable.space != AddressSpace::Private {
                return Err(declares(span, &variable.name, Declaration::Variable));
            }
            self.check_size(span, &variable.name, variable.ty)?;
        }
        if let Some((handle, constant)) = self.module.overrides.iter().next() {
            let span = self.module.overrides.get_span(handle);
            return Err(declares(span, &constant.name, Declaration::Override));
        }
        Ok(())
    }

    fn check_size(
        &self,
        span: Span,
        name: &Option<String>,
        ty: Handle<Type>,
    ) -> Result<(), KernelError> {
        let bytes = self.module.types[ty].inner.size(self.module.to_ctx());
        if bytes > Handler::MAX_VARIABLE_BYTES {
            let (place, name) = (self.place(span), name.clone().unwrap_or_default());
            return Err(KernelError::TooLarge { place, name, bytes });
        }
        Ok(())
    }

    /// The user's functions have no barriers and use nothing of the kernel but the handler API;
    /// the kernel's call none of them, as one named like a function of WGSL would bring about.
    fn check_functions(&self) -> Result<(), KernelError> {
        for (handle, function) in self.module.functions.iter() {
            if self.is_user(handle) {
                for (local, variable) in function.local_variables.iter() {
                    let span = function.local_variables.get_span(local);
                    self.check_size(span, &variable.name, variable.ty)?;
                }
            }
            let problem = if self.is_user(handle) {
                self.expression_problem(function).or_else(|| self.statement_problem(function))
            } else {
                self.call_into_user(function)
            };
            if let Some(problem) = problem {
                return Err(problem);
            }
        }
        Ok(())
    }

    fn expression_problem(&self, function: &Function) -> Option<KernelError> {
        let variables = &self.module.global_variables;
        function.expressions.iter().find_map(|(handle, expression)| match expression {
            Expression::Derivative { .. } => {
                let place = self.place(function.expressions.get_span(handle));
                Some(KernelError::WrongStage { place, what: "a derivative" })
            }
            Expression::GlobalVariable(variable)
                if !self.source.is_user(variables.get_span(*variable)) =>
            {
                let name = variables[*variable].name.clone().unwrap_or_default();
                let place = self.place(function.expressions.get_span(handle));
                Some(KernelError::NotForHandlers { place, name })
            }
            _ => None,
        })
    }

    fn statement_problem(&self, function: &Function) -> Option<KernelError> {
        let mut problem = None;
        visit(&function.body, &mut |statement, span| {
            let found = match statement {
                Statement::ControlBarrier(_)
                | Statement::MemoryBarrier(_)
                | Statement::WorkGroupUniformLoad { .. } => {
                    KernelError::Barrier { place: self.place(span) }
                }
                Statement::Kill => {
                    KernelError::WrongStage { place: self.place(span), what: "`discard`" }
                }
                Statement::Call { function, .. }
                    if !self.is_user(*function) && !self.is_handler_api(*function) =>
                {
                    let (place, name) = (self.place(span), self.function_name(*function));
                    KernelError::NotForHandlers { place, name }
                }
                _ => return,
            };
            problem.get_or_insert(found);
        });
        problem
    }

    fn call_into_user(&self, function: &Function) -> Option<KernelError> {
        let mut problem = None;
        visit(&function.body, &mut |statement, _| match statement {
            Statement::Call { function, .. } if self.is_user(*function) => {
                let name = self.function_name(*function);
                let place = self.place(self.source.find_declared(&name));
                problem.get_or_insert(KernelError::HidesBuiltin { place, name });
            }
            _ => {}
        });
        problem
    }

    fn is_handler_api(&self, handle: Handle<Function>) -> bool {
        self.place(self.module.functions.get_span(handle)).file == super::modules::HANDLER_API
    }

    fn function_name(&self, handle: Handle<Function>) -> String {
        self.module.functions[handle].name.clone().unwrap_or_default()
    }

    pub(crate) fn check_handler(&self, handler: &Handler) -> Result<Loops, KernelError> {
        let name = handler.function();
        let mut functions = self.module.functions.iter();
        let (handle, function) = functions
            .find(|(handle, function)| {
                function.name.as_deref() == Some(name) && self.is_user(*handle)
            })
            .ok_or_else(|| KernelError::MissingFunction {
                file: self.name.to_owned(),
                function: name.to_owned(),
            })?;
        let span = self.module.functions.get_span(handle);
        if !self.is_handler(function) {
            let found = self.source.excerpt(span, '{');
            let (place, function) = (self.place(span), name.to_owned());
            return Err(KernelError::WrongSignature { place, function, found });
        }
        let is_user = |handle| self.is_user(handle);
        let loops = LoopCounter::new(&self.module, &is_user).of_function(handle);
        let iterations = handler.max_iterations();
        if u64::from(iterations) < loops.own {
            let (place, function, loops) = (self.place(span), name.to_owned(), loops.own);
            return Err(KernelError::IterationsUnknown { place, function, loops, iterations });
        }
        Ok(loops)
    }

    fn is_handler(&self, function: &Function) -> bool {
        let types = &self.module.types;
        let takes_job = match function.arguments.as_slice() {
            [job] => types[job.ty].name.as_deref() == Some("Job"),
            _ => false,
        };
        let u32_type = naga::TypeInner::Scalar(naga::Scalar::U32);
        takes_job
            && function.result.as_ref().is_some_and(|result| types[result.ty].inner == u32_type)
    }

    fn is_user(&self, handle: Handle<Function>) -> bool {
        self.source.is_user(self.module.functions.get_span(handle))
    }

    fn place(&self, span: Span) -> Place {
        self.source.place(span).unwrap_or_else(unknown_place)
    }
}

/// Parses and validates.
pub(crate) fn parse(source: &Source) -> Result<(Module, ModuleInfo), KernelError> {
    let module =
        naga::front::wgsl::parse_str(source.text()).map_err(|error| parse_error(source, &error))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::default())
        .validate(&module)
        .map_err(|error| validation_error(source, &error))?;
    Ok((module, info))
}

/// Every statement, outer ones first.
pub(crate) fn visit(block: &Block, seen: &mut dyn FnMut(&Statement, Span)) {
    for (statement, span) in block.span_iter() {
        seen(statement, *span);
        match statement {
            Statement::Block(block) => visit(block, seen),
            Statement::If { accept, reject, .. } => {
                visit(accept, seen);
                visit(reject, seen);
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    visit(&case.body, seen);
                }
            }
            Statement::Loop { body, continuing, .. } => {
                visit(body, seen);
                visit(continuing, seen);
            }
            _ => {}
        }
    }
}

fn parse_error(source: &Source, error: &naga::front::wgsl::ParseError) -> KernelError {
    let mut places = error.labels().map(|(span, _)| source.place(span));
    let place = places.next().flatten().unwrap_or_else(unknown_place);
    let taken = error.message().strip_prefix("redefinition of `");
    if let (Some(name), Some(Some(taken_by))) = (taken, places.next()) {
        let name = name.trim_end_matches('`').to_owned();
        return KernelError::NameTaken { place, name, taken_by };
    }
    let mut message = error.message().to_owned();
    let label = error.labels().next().map_or("", |(_, label)| label);
    for more in std::iter::once(label).chain(error.notes()) {
        if !more.is_empty() && more != message {
            message.push_str("; ");
            message.push_str(more);
        }
    }
    KernelError::Wgsl { place, message }
}

fn validation_error(
    source: &Source,
    error: &naga::WithSpan<naga::valid::ValidationError>,
) -> KernelError {
    let mut spans: Vec<Span> = error.spans().map(|(span, _)| *span).collect();
    // The user's lines first, and of those the narrowest: a function's span holds the others.
    spans.sort_by_key(|span| {
        (!source.is_user(*span), span.to_range().map_or(usize::MAX, |range| range.len()))
    });
    let place = spans.first().and_then(|span| source.place(*span)).unwrap_or_else(unknown_place);
    let mut message = error.as_inner().to_string();
    let mut cause = std::error::Error::source(error.as_inner());
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    KernelError::Wgsl { place, message }
}

/// For errors that the compiler gives no position.
fn unknown_place() -> Place {
    Place { file: "slipring".to_owned(), line: 0, column: 0 }
}

/// An error in the kernel's own text, which stands without this file, is the file's doing.
fn hidden(error: KernelError, source: &Source) -> KernelError {
    match &error {
        KernelError::Wgsl { place, .. } if source.is_kernel_file(&place.file) => {
            let Some((name, span)) = source.declared_and_used_in(&place.file) else { return error };
            let place = source.place(span).unwrap_or_else(unknown_place);
            KernelError::HidesBuiltin { place, name: name.to_owned() }
        }
        _ => error,
    }
}
