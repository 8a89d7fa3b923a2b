//! Flags that stand for options.

use std::marker::PhantomData;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The flags of a command that change options: what was said on the command line,
/// kept until the options are there that it changes.
#[derive(Clone, Debug)]
pub struct Flags<T> {
    said: ArgMatches,
    options: PhantomData<T>,
}

impl<T: Args> Flags<T> {
    /// Changes those options that a flag stands for which was said.
    ///
    /// # Errors
    /// The flags are those of another command.
    pub(super) fn change(&self, options: &mut T) -> Result<(), Error> {
        options.update_from_arg_matches(&self.said)
    }
}

impl<T> FromArgMatches for Flags<T> {
    fn from_arg_matches(said: &ArgMatches) -> Result<Self, Error> {
        Ok(Self {
            said: said.clone(),
            options: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, said: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(said)?;
        Ok(())
    }
}

impl<T: Args> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        // The flags alone: what the options say of themselves is not what the
        // command does. None of them is required, as they only change something.
        let flags = T::augment_args_for_update(Command::new("flags"));
        command.args(flags.get_arguments().cloned())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, Parser};

    use super::*;

    #[derive(Args, Clone, Debug, PartialEq)]
    struct Options {
        #[arg(long)]
        number: u8,
        #[arg(long, num_args = 1..)]
        list: Vec<u8>,
        #[arg(long)]
        some: Option<u8>,
        #[arg(long, action = ArgAction::Set, num_args = 0, default_missing_value = "true")]
        switch: bool,
        #[arg(skip)]
        other: u8,
    }

    /// What the program does.
    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        flags: Flags<Options>,
    }

    fn changed(line: &str, mut options: Options) -> Options {
        let program = Program::try_parse_from(line.split(' ')).unwrap();
        program.flags.change(&mut options).unwrap();
        options
    }

    #[test]
    fn only_what_was_said_is_changed() {
        let options = Options {
            number: 1,
            list: vec![2, 3],
            some: Some(4),
            switch: true,
            other: 5,
        };
        assert_eq!(changed("program", options.clone()), options);
        let expected = Options {
            number: 6,
            list: vec![7],
            ..options.clone()
        };
        assert_eq!(
            changed("program --number 6 --list 7", options.clone()),
            expected
        );
        let off = Options {
            switch: false,
            some: None,
            ..options.clone()
        };
        let on = Options {
            some: Some(0),
            ..options
        };
        assert_eq!(changed("program --switch --some 0", off), on);
    }

    #[test]
    fn a_value_that_is_none_is_told_with_its_flag() {
        let error = Program::try_parse_from(["program", "--number", "many"]).unwrap_err();
        assert!(error.to_string().contains("--number"), "{error}");
    }
}
